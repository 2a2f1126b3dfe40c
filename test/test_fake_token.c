/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the fake token: library, slots, PINs, sessions, objects, searches
 * and attributes keep PKCS #11's rules.
 */
#include <string.h>
#include "fake_test.h"

static CK_ULONG find(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                     CK_ULONG count, CK_OBJECT_HANDLE found[4])
{
    CK_ULONG n = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, templ, count), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, found, 4, &n), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    return n;
}

static void test_fake_answers_only_once_initialized(void **state)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK,
                                  .pReserved = (void *)(uintptr_t) "a=b" };
    struct fake_call call;
    CK_INFO info;

    (void)state;
    assert_int_equal(p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(p11->C_Initialize(&args), CKR_OK);
    assert_true(fake_call(fake, "C_Initialize", 0, &call));
    assert_int_equal(call.flags, CKF_OS_LOCKING_OK);
    assert_string_equal(fake->init_args, "a=b");
    assert_int_equal(p11->C_Initialize(&args),
                     CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_int_equal(p11->C_GetInfo(&info), CKR_OK);
    assert_memory_equal(info.libraryDescription,
                        "standard                        ", 32);
    assert_int_equal(p11->C_Finalize(&args), CKR_ARGUMENTS_BAD);
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
    assert_int_equal(p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void test_fake_lists_slots_with_and_without_tokens(void **state)
{
    struct fake_slot *second = NULL;
    CK_SLOT_ID ids[FAKE_MAX_SLOTS];
    CK_ULONG n = 0;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;

    (void)state;
    second = fake_add_slot(fake, "second", "0002");
    second->token_present = false;
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_FALSE, NULL, &n), CKR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, ids, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 1);
    assert_int_equal(p11->C_GetSlotList(CK_FALSE, ids, &n),
                     CKR_BUFFER_TOO_SMALL);
    assert_int_equal(p11->C_GetSlotInfo(2, &slot), CKR_OK);
    assert_int_equal(slot.flags & CKF_TOKEN_PRESENT, 0);
    assert_int_equal(p11->C_GetSlotInfo(3, &slot), CKR_SLOT_ID_INVALID);
    assert_int_equal(p11->C_GetTokenInfo(2, &token), CKR_TOKEN_NOT_PRESENT);
    second->token_present = true;
    assert_int_equal(p11->C_GetTokenInfo(2, &token), CKR_OK);
    assert_memory_equal(token.label, "second                          ", 32);
    assert_memory_equal(token.serialNumber, "0002            ", 16);
    assert_int_equal(token.flags, 0x40c);
}

static void test_fake_counts_pins_and_locks(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_TOKEN_INFO token;

    (void)state;
    fake->slots[0].pin_tries = 3;
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong_pin, 4),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 3),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_OK);
    assert_int_equal(token.flags & ~0x40cUL,
                     CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
    /* The right one begins the count anew, and a second one is not counted. */
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4), CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong_pin, 4),
                     CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(p11->C_Logout(session), CKR_OK);
    assert_int_equal(p11->C_Logout(session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong_pin, 4),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong_pin, 4),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong_pin, 4),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4), CKR_PIN_LOCKED);
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_OK);
    assert_int_equal(token.flags & CKF_USER_PIN_LOCKED, CKF_USER_PIN_LOCKED);
    assert_false(fake_logged_in(fake, 0));
}

static void test_fake_takes_no_pin_only_where_one_is_typed(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    struct fake_call call;

    (void)state;
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0),
                     CKR_ARGUMENTS_BAD);
    fake->slots[0].flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    fake->slots[0].pinpad = CKR_FUNCTION_CANCELED;
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0),
                     CKR_FUNCTION_CANCELED);
    fake->slots[0].pinpad = CKR_OK;
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0), CKR_OK);
    assert_true(fake_call(fake, "C_Login", 2, &call));
    assert_false(call.pin_given);
    assert_false(fake_call(fake, "C_Login", 3, &call));
}

static void test_fake_login_ends_with_the_last_session(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE first = fake_test_start();
    CK_SESSION_HANDLE second = fake_test_open_session();
    CK_OBJECT_HANDLE handle = fake_handle(fake, key);
    CK_SESSION_INFO info;

    (void)state;
    /* Another slot's session does not keep this slot's login. */
    fake_add_slot(fake, "second", "2");
    assert_int_equal(p11->C_OpenSession(2, RW, NULL, NULL, &(CK_ULONG){ 0 }),
                     CKR_OK);
    assert_int_equal(p11->C_CloseSession(first), CKR_OK);
    assert_int_equal(p11->C_CloseSession(first), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(p11->C_GetSessionInfo(second, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_USER_FUNCTIONS);
    assert_int_equal(fake_test_sign_init(second, handle), CKR_OK);
    assert_int_equal(p11->C_CloseSession(second), CKR_OK);
    assert_false(fake_logged_in(fake, 0));
    first = fake_test_open_session();
    assert_int_equal(p11->C_Login(first, CKU_USER, pin, 4), CKR_OK);
    assert_int_equal(fake_test_sign_init(first, handle),
                     CKR_KEY_HANDLE_INVALID);
    assert_int_equal(fake_test_sign_init(first, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(p11->C_CloseAllSessions(1), CKR_OK);
    assert_int_equal(fake_open_sessions(fake), 1);
}

static void test_fake_limits_sessions_of_each_slot(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_SESSION_HANDLE other = CK_INVALID_HANDLE;

    (void)state;
    fake->max_sessions = 2;
    fake_add_slot(fake, "second", "2");
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_OpenSession(1, 0, NULL, NULL, &session),
                     CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    session = fake_test_open_session();
    fake_test_open_session();
    assert_int_equal(p11->C_OpenSession(1, RW, NULL, NULL, &other),
                     CKR_SESSION_COUNT);
    assert_int_equal(p11->C_OpenSession(2, RW, NULL, NULL, &other), CKR_OK);
    assert_int_equal(p11->C_CloseSession(session), CKR_OK);
    fake_test_open_session();
    assert_int_equal(fake_open_sessions(fake), 3);
}

static void test_fake_shows_private_objects_after_login(void **state)
{
    struct fake_pair pair = fake_add_key(fake, 0, &ec_key);
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE templ[] = { { CKA_CLASS, &class, sizeof(class) },
                             { CKA_ID, (void *)(uintptr_t) "\x01\x02", 2 } };
    CK_ATTRIBUTE by_label = { CKA_LABEL, (void *)(uintptr_t) "sign", 4 };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE found[4];

    (void)state;
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(find(session, templ, 2, found), 0);
    assert_int_equal(find(session, NULL, 0, found), 1);
    assert_int_equal(found[0], fake_handle(fake, pair.public_key));
    assert_int_equal(
        fake_test_sign_init(session, fake_handle(fake, pair.private_key)),
        CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4), CKR_OK);
    assert_int_equal(find(session, templ, 2, found), 1);
    assert_int_equal(found[0], fake_handle(fake, pair.private_key));
    assert_int_equal(find(session, &by_label, 1, found), 0);
    assert_int_equal(find(session, NULL, 0, found), 2);
    fake_remove_object(fake, pair.private_key);
    assert_int_equal(find(session, NULL, 0, found), 1);
}

static void test_fake_without_login_required_shows_everything(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;

    (void)state;
    fake->slots[0].flags &= ~CKF_LOGIN_REQUIRED;
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(fake_test_sign(session), CKR_OK);
}

static void test_fake_search_is_an_operation(void **state)
{
    CK_SESSION_HANDLE session = fake_test_start();
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;

    (void)state;
    fake_add_key(fake, 0, &ec_key);
    assert_int_equal(p11->C_FindObjects(session, found, 4, &n),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(p11->C_FindObjectsFinal(session),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(p11->C_FindObjectsInit(session, NULL, 0),
                     CKR_OPERATION_ACTIVE);
    assert_int_equal(p11->C_FindObjects(session, found, 1, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(p11->C_FindObjects(session, found + 1, 4, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_not_equal(found[0], found[1]);
    assert_int_equal(p11->C_FindObjects(session, found, 4, &n), CKR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
}

static void test_fake_fills_attributes_around_missing_ones(void **state)
{
    static const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    static const CK_BBOOL yes = CK_TRUE;
    const struct fake_attribute attributes[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },
        { CKA_LABEL, "label", 5 },
        { CKA_VALUE, "secret", 6 },
        { CKA_ID, "", 0 },
    };
    size_t key = fake_add_object(fake, 0, attributes, 5);
    CK_SESSION_HANDLE session = fake_test_start();
    char label[8] = "";
    char value[8] = "";
    char small[2] = "";
    CK_ATTRIBUTE templ[] = {
        { CKA_EC_POINT, value, sizeof(value) },
        { CKA_VALUE, value, sizeof(value) },
        { CKA_LABEL, label, sizeof(label) },
        { CKA_ID, NULL, 0 },
        { CKA_LABEL, NULL, 0 },
    };
    CK_ATTRIBUTE too_small = { CKA_LABEL, small, sizeof(small) };

    (void)state;
    assert_int_equal(
        p11->C_GetAttributeValue(session, fake_handle(fake, key), templ, 5),
        CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(templ[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(templ[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(templ[2].ulValueLen, 5);
    assert_int_equal(templ[3].ulValueLen, 0);
    assert_int_equal(templ[4].ulValueLen, 5);
    assert_string_equal(label, "label");
    assert_string_equal(value, "");
    assert_int_equal(
        p11->C_GetAttributeValue(session, fake_handle(fake, key), templ + 1, 1),
        CKR_ATTRIBUTE_SENSITIVE);
    assert_int_equal(p11->C_GetAttributeValue(session, fake_handle(fake, key),
                                              &too_small, 1),
                     CKR_BUFFER_TOO_SMALL);
    assert_int_equal(p11->C_GetAttributeValue(session, 12345, &too_small, 1),
                     CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(fake_asked(fake, CKA_VALUE), 2);
    assert_int_equal(fake_asked(fake, CKA_EC_POINT), 1);
    assert_int_equal(fake_asked(fake, CKA_MODULUS), 0);
    assert_int_equal(fake_asked_private(fake), 2);
    fake_set_attribute(fake, key, CKA_EC_POINT, "\x04", 1);
    fake_set_attribute(fake, key, CKA_LABEL, NULL, 0);
    templ[0].ulValueLen = sizeof(value);
    templ[1] = (CK_ATTRIBUTE){ CKA_LABEL, NULL, 0 };
    assert_int_equal(
        p11->C_GetAttributeValue(session, fake_handle(fake, key), templ, 2),
        CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(templ[0].ulValueLen, 1);
    assert_int_equal(templ[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

static void test_fake_has_every_function_and_few_that_work(void **state)
{
    CK_SESSION_HANDLE session = fake_test_start();
    unsigned char byte[] = "x";
    CK_ULONG len = 1;
    struct fake_call call;
    const unsigned char *list = (const unsigned char *)p11;
    size_t at = 0;

    (void)state;
    for (at = offsetof(CK_FUNCTION_LIST, C_Initialize);
         at < sizeof(CK_FUNCTION_LIST); at += sizeof(CK_C_Initialize)) {
        CK_C_Initialize function = NULL;

        memcpy(&function, list + at, sizeof(function));
        assert_true(function != NULL);
    }
    assert_int_equal(p11->C_Encrypt(session, byte, 1, byte, &len),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(p11->C_SetPIN(session, byte, 1, byte, 1),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(p11->C_GenerateRandom(session, byte, 1),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_true(fake_call(fake, "C_GenerateRandom", 0, &call));
    assert_int_equal(call.rv, CKR_FUNCTION_NOT_SUPPORTED);
    p11->C_Sign = NULL;
    fake_reset(fake);
    assert_true(p11->C_Sign != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_fake_answers_only_once_initialized),
        FAKE_TEST(test_fake_lists_slots_with_and_without_tokens),
        FAKE_TEST(test_fake_counts_pins_and_locks),
        FAKE_TEST(test_fake_takes_no_pin_only_where_one_is_typed),
        FAKE_TEST(test_fake_login_ends_with_the_last_session),
        FAKE_TEST(test_fake_limits_sessions_of_each_slot),
        FAKE_TEST(test_fake_shows_private_objects_after_login),
        FAKE_TEST(test_fake_without_login_required_shows_everything),
        FAKE_TEST(test_fake_search_is_an_operation),
        FAKE_TEST(test_fake_fills_attributes_around_missing_ones),
        FAKE_TEST(test_fake_has_every_function_and_few_that_work),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fake_token", tests, NULL, NULL);
}
