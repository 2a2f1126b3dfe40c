/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the shim: what it changes in a token's answers.  Flags, a PIN that
 * is typed on the token, attributes, a PIN for each signature, functions that
 * are not there.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "fake_token.h"
#include "shim_test.h"

static void test_shim_changes_token_flags(void **state)
{
    static const struct shim_setting settings[] = { { "TOKEN_FLAGS",
                                                      "+0x40000,-0x4,-8" } };
    CK_TOKEN_INFO info;
    CK_FLAGS before = 0;

    (void)state;
    shim_test_start(NULL, 0);
    assert_int_equal(p11->C_GetTokenInfo(slot, &info), CKR_OK);
    before = info.flags;
    assert_int_equal(before & 0x4000c, 0xc);
    shim_test_stop(state);
    shim_test_start(settings, 1);
    assert_int_equal(p11->C_GetTokenInfo(slot, &info), CKR_OK);
    assert_int_equal(info.flags, (before & ~0xcUL) | CKF_USER_PIN_LOCKED);
}

static void test_shim_types_the_pin_of_a_pinpad(void **state)
{
    const struct shim_setting settings[] = { { "TOKEN_FLAGS", "+0x100" },
                                             { "PINPAD", (const char *)pin } };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    shim_test_start(NULL, 0);
    session = shim_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0),
                     CKR_ARGUMENTS_BAD);
    shim_test_stop(state);
    shim_test_start(settings, 2);
    session = shim_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 3),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0), CKR_OK);
    assert_int_equal(shim_test_count_lines("C_Login 0x0 session="), 1);
    shim_test_find_key(session, CKO_PRIVATE_KEY);
}

static void test_shim_forces_attributes_and_leaves_the_others(void **state)
{
    static const struct shim_setting settings[] = {
        { "ATTR", "0x202=01;0x108=00;0x180=-;0x3=616263;0x102=" }
    };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_BBOOL always = CK_FALSE;
    CK_BBOOL may_sign = CK_TRUE;
    CK_OBJECT_CLASS class = 0;
    unsigned char params[16];
    char label[8] = "";
    char small[2] = "";
    CK_ATTRIBUTE templ[] = {
        { CKA_ALWAYS_AUTHENTICATE, &always, sizeof(always) },
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_LABEL, label, sizeof(label) },
        { CKA_ID, NULL, 0 },
        { CKA_SIGN, &may_sign, sizeof(may_sign) },
        { CKA_LABEL, NULL, 0 },
        { CKA_EC_PARAMS, params, sizeof(params) },
    };
    CK_ATTRIBUTE too_small = { CKA_LABEL, small, sizeof(small) };

    (void)state;
    shim_test_start(settings, 1);
    session = shim_test_open_and_login();
    key = shim_test_find_key(session, CKO_PRIVATE_KEY);
    assert_int_equal(p11->C_GetAttributeValue(session, key, templ, 6), CKR_OK);
    assert_int_equal(always, CK_TRUE);
    assert_int_equal(may_sign, CK_FALSE);
    assert_int_equal(class, CKO_PRIVATE_KEY);
    assert_int_equal(templ[1].ulValueLen, sizeof(class));
    assert_string_equal(label, "abc");
    assert_int_equal(templ[2].ulValueLen, 3);
    assert_int_equal(templ[3].ulValueLen, 0);
    assert_int_equal(templ[5].ulValueLen, 3);
    templ[2].ulValueLen = sizeof(label);
    class = 0;
    assert_int_equal(p11->C_GetAttributeValue(session, key, templ, 7),
                     CKR_ATTRIBUTE_TYPE_INVALID);
    assert_true(templ[6].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(class, CKO_PRIVATE_KEY);
    assert_int_equal(p11->C_GetAttributeValue(session, key, &too_small, 1),
                     CKR_BUFFER_TOO_SMALL);
    assert_true(too_small.ulValueLen == CK_UNAVAILABLE_INFORMATION);
    /* The token still checks the rest, and the log shows what was asked. */
    too_small.ulValueLen = 0;
    assert_int_equal(p11->C_GetAttributeValue(session, 9999, &too_small, 1),
                     CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(shim_test_count_lines("C_GetAttributeValue 0x82 session="),
                     1);
}

static void test_shim_wants_a_pin_between_init_and_sign(void **state)
{
    const struct shim_setting settings[] = { { "ATTR", "0x202=01" },
                                             { "PINPAD", (const char *)pin } };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    unsigned char sig[64];

    (void)state;
    shim_test_start(settings, 2);
    session = shim_test_open_and_login();
    key = shim_test_find_key(session, CKO_PRIVATE_KEY);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, pin_len),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(shim_test_sign(session, sig),
                     CKR_OPERATION_NOT_INITIALIZED);
    /* Without it C_Sign fails and ends the operation, in the token too. */
    assert_int_equal(shim_test_sign_init(session, key), CKR_OK);
    assert_int_equal(shim_test_sign(session, sig), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(shim_test_sign(session, sig),
                     CKR_OPERATION_NOT_INITIALIZED);
    /* A wrong PIN ends nothing; the right one is for one signature. */
    assert_int_equal(shim_test_sign_init(session, key), CKR_OK);
    assert_int_equal(
        p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, pin_len - 1),
        CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, NULL, 0),
                     CKR_ARGUMENTS_BAD);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, pin_len),
                     CKR_OK);
    assert_int_equal(shim_test_sign(session, sig), CKR_OK);
    assert_int_equal(shim_test_sign_init(session, key), CKR_OK);
    assert_int_equal(shim_test_sign(session, sig), CKR_USER_NOT_LOGGED_IN);
}

static void test_shim_size_query_keeps_the_context_login(void **state)
{
    static const struct shim_setting settings[] = { { "ATTR", "0x202=01" } };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    unsigned char digest[32] = { 1 };
    unsigned char sig[64];
    CK_ULONG siglen = 0;

    (void)state;
    shim_test_start(settings, 1);
    session = shim_test_open_and_login();
    assert_int_equal(shim_test_sign_init(
                         session, shim_test_find_key(session, CKO_PRIVATE_KEY)),
                     CKR_OK);
    /* No PINPAD: any PIN will do. */
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 1),
                     CKR_OK);
    assert_int_equal(p11->C_Sign(session, digest, 32, NULL, &siglen), CKR_OK);
    assert_int_equal(siglen, 64);
    siglen = 63;
    assert_int_equal(p11->C_Sign(session, digest, 32, sig, &siglen),
                     CKR_BUFFER_TOO_SMALL);
    siglen = 64;
    assert_int_equal(p11->C_Sign(session, digest, 32, sig, &siglen), CKR_OK);
}

static void test_shim_pinpad_serves_the_context_login(void **state)
{
    const struct shim_setting settings[] = { { "ATTR", "0x202=01" },
                                             { "TOKEN_FLAGS", "+0x100" },
                                             { "PINPAD", (const char *)pin } };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    unsigned char sig[64];

    (void)state;
    shim_test_start(settings, 3);
    session = shim_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0), CKR_OK);
    assert_int_equal(shim_test_sign_init(
                         session, shim_test_find_key(session, CKO_PRIVATE_KEY)),
                     CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, NULL, 0),
                     CKR_OK);
    assert_int_equal(shim_test_sign(session, sig), CKR_OK);
}

static void test_shim_lacks_what_the_module_behind_lacks(void **state)
{
    const char *path = shim_test_required("HSMSIGN_FAKE");
    struct fake *(*get)(void) = NULL;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_INFO info;

    (void)state;
    assert_non_null(module);
    *(void **)&get = dlsym(module, "fake_get");
    assert_true(get != NULL);
    get()->list.C_Digest = NULL;
    get()->list.C_GetTokenInfo = NULL;
    shim_test_load(path, NULL, 0);
    assert_true(p11->C_Digest == NULL && p11->C_GetTokenInfo == NULL);
    assert_true(p11->C_Sign != NULL && p11->C_WaitForSlotEvent != NULL);
    assert_true(p11->C_Sign != get()->list.C_Sign);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_GetInfo(&info), CKR_OK);
    assert_memory_equal(info.libraryDescription, "standard ", 9);
    shim_test_stop(state);
    fake_reset(get());
    assert_int_equal(dlclose(module), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHIM_TEST(test_shim_changes_token_flags),
        SHIM_TEST(test_shim_types_the_pin_of_a_pinpad),
        SHIM_TEST(test_shim_forces_attributes_and_leaves_the_others),
        SHIM_TEST(test_shim_wants_a_pin_between_init_and_sign),
        SHIM_TEST(test_shim_size_query_keeps_the_context_login),
        SHIM_TEST(test_shim_pinpad_serves_the_context_login),
        SHIM_TEST(test_shim_lacks_what_the_module_behind_lacks),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name(
        "shim_token", tests, shim_test_make_token, shim_test_remove_token);
}
