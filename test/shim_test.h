/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the shim begin with: a SoftHSM token of their own, and the
 * shim loaded afresh in front of it for each test, with that test's
 * HSMSIGN_SHIM_ variables.  From the environment:
 *
 *   HSMSIGN_SHIM         the shim
 *   HSMSIGN_FAKE  the fake token as a module
 *   SOFTHSM2_MODULE           SoftHSM's module
 *
 * All of them must be there: without them the tests fail.
 */
#ifndef HSMSIGN_SHIM_TEST_H
#define HSMSIGN_SHIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "../pkcs11/cryptoki.h"

enum { RW = CKF_SERIAL_SESSION | CKF_RW_SESSION };

/* One variable, without its prefix: { "DELAY_US", "1000" }. */
struct shim_setting {
    const char *name, *value;
};

extern void *shim; /* from dlopen; NULL: not loaded */
extern CK_FUNCTION_LIST *p11;
extern CK_SLOT_ID slot; /* of our token */
extern unsigned char pin[];
extern const size_t pin_len;

/* The group's set-up and tear-down: a token with one EC key pair (P-256). */
int shim_test_make_token(void **state);
int shim_test_remove_token(void **state);

/* An environment variable that must be there. */
const char *shim_test_required(const char *name);
/* Take all settings out of the environment, the tests' misspelt one too. */
void shim_test_clear_environment(void);
/* Load the shim with n settings in front of module; it must not be loaded. */
void shim_test_load(const char *module, const struct shim_setting *settings,
                    size_t n);
/* Load it in front of SoftHSM, initialise, and find our token. */
void shim_test_start(const struct shim_setting *settings, size_t n);
/* Each test's tear-down: finalise and unload, if it is loaded. */
int shim_test_stop(void **state);

CK_SESSION_HANDLE shim_test_open_session(void);
CK_SESSION_HANDLE shim_test_open_and_login(void);
/* The one object of that class. */
CK_OBJECT_HANDLE shim_test_find_key(CK_SESSION_HANDLE session,
                                    CK_OBJECT_CLASS class);
CK_RV shim_test_sign_init(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key);
CK_RV shim_test_sign(CK_SESSION_HANDLE session, unsigned char sig[64]);

/* The log as text, to be freed. */
char *shim_test_read_log(void);
/* How many lines of the log begin so. */
int shim_test_count_lines(const char *beginning);

#define SHIM_TEST(name) cmocka_unit_test_teardown(name, shim_test_stop)

#endif
