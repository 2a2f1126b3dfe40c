/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the fake token begin with: a fake, its function list, a
 * key, a session that is logged in.  One group of tests in one program each.
 */
#ifndef HSMSIGN_TEST_FAKE_TEST_H
#define HSMSIGN_TEST_FAKE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake_token.h"

enum { RW = CKF_SERIAL_SESSION | CKF_RW_SESSION };

/* C_Login takes no const; not every program that includes this uses both. */
static struct fake *fake;
static CK_FUNCTION_LIST *p11;
static unsigned char pin[] = "1234";
__attribute__((unused)) static unsigned char wrong_pin[] = "4321";

static const struct fake_key ec_key = {
    .type = CKK_EC,
    .label = "signer",
    .id = { "\x01\x02", 2 },
    .ec_params = { "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10 },
    .ec_point = { "\x04\x41\x04", 3 },
};

static inline int fake_test_setup(void **state)
{
    (void)state;
    fake = fake_get();
    p11 = fake_function_list();
    fake_reset(fake);
    return 0;
}

static inline int fake_test_teardown(void **state)
{
    (void)state;
    fake_reset(fake); /* frees what it holds */
    return 0;
}

static inline CK_SESSION_HANDLE fake_test_open_session(void)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(
        p11->C_OpenSession(fake->slots[0].id, RW, NULL, NULL, &session),
        CKR_OK);
    return session;
}

static inline CK_SESSION_HANDLE fake_test_start(void)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4), CKR_OK);
    return session;
}

static inline CK_RV fake_test_sign_init(CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

    return p11->C_SignInit(session, &mechanism, key);
}

static inline CK_RV fake_test_sign(CK_SESSION_HANDLE session)
{
    unsigned char data[] = "data";
    unsigned char sig[64];
    CK_ULONG siglen = sizeof(sig);

    return p11->C_Sign(session, data, 4, sig, &siglen);
}

#define FAKE_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, fake_test_setup, fake_test_teardown)

#endif
