/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the simulator's tests begin with.  They are linked with it, so that its
 * clock is theirs: it stands still but for what the simulator sleeps.  Behind
 * it are two SoftHSM tokens of the tests' own, "alpha" with a pair of RSA and
 * one of EC (P-256) keys, and "beta", which is empty.
 */
#ifndef HSMSIGN_SIM_TEST_H
#define HSMSIGN_SIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include "sim.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
    RW = CKF_SERIAL_SESSION | CKF_RW_SESSION,
    SECOND = 1000000 /* microseconds */
};
#define ALPHA 0x2000000000000001UL
#define BETA  0x2000000000000002UL

extern CK_FUNCTION_LIST *const p11;
extern CK_BYTE sim_test_pin[];
extern const CK_ULONG sim_test_pin_len;
extern _Atomic unsigned long sim_test_clock; /* microseconds */
/* Called, if set, when the simulator sleeps; once. */
extern void (*sim_test_on_sleep)(void);

/* The group's set-up and tear-down. */
int sim_test_make_tokens(void **state);
int sim_test_remove_tokens(void **state);
/* Each test's tear-down. */
int sim_test_stop(void **state);

/* Set the switches and C_Initialize. */
void sim_test_start(const char *switches);
CK_SESSION_HANDLE sim_test_open(CK_SLOT_ID slot);
CK_RV sim_test_login(CK_SESSION_HANDLE session);
/* All three, on alpha. */
CK_SESSION_HANDLE sim_test_begin(const char *switches);

/* How many objects fit; the first of them goes to *object, if that is given. */
CK_ULONG sim_test_count(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                        CK_ULONG count, CK_OBJECT_HANDLE *object);
/* The one object with that label. */
CK_OBJECT_HANDLE sim_test_find(CK_SESSION_HANDLE session, const char *label);
CK_RV sim_test_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type,
                         const char *label);
/* C_Sign of 32 bytes. */
CK_RV sim_test_sign(CK_SESSION_HANDLE session);
/* Both, with the EC key. */
CK_RV sim_test_ec_sign(CK_SESSION_HANDLE session);
/* C_GenerateKeyPair of P-256 with these templates; EC_PARAMS are added. */
CK_RV sim_test_make_ec(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *public,
                       CK_ULONG public_count, const CK_ATTRIBUTE *private,
                       CK_ULONG private_count, CK_OBJECT_HANDLE keys[2]);
/* C_CreateObject of a certificate of so many bytes. */
CK_RV sim_test_make_certificate(CK_SESSION_HANDLE session, CK_ULONG bytes,
                                CK_ULONG id_bytes, CK_ULONG label_bytes);

#define SIM_TEST(name) cmocka_unit_test_teardown(name, sim_test_stop)
#define SIM_MAIN(group, tests)                                                 \
    cmocka_set_message_output(CM_OUTPUT_TAP);                                  \
    return cmocka_run_group_tests_name(group, tests, sim_test_make_tokens,     \
                                       sim_test_remove_tokens)

#endif
