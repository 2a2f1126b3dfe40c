/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the fake token as AWS CloudHSM (what is known of it, rule by rule),
 * and as a module that is loaded: the module's path is in the environment
 * variable HSMSIGN_FAKE.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "fake_test.h"

static unsigned char user_pin[] = "user:password";

static CK_SESSION_HANDLE start_cloudhsm(void)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(
        p11->C_Login(session, CKU_USER, user_pin, sizeof(user_pin) - 1),
        CKR_OK);
    return session;
}

static void test_cloudhsm_has_its_slot_and_flags(void **state)
{
    CK_SLOT_ID id = 0;
    CK_ULONG n = 1;
    CK_TOKEN_INFO info;

    (void)state;
    fake_profile_cloudhsm(fake);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, &id, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_true(id == 0x2000000000000001UL);
    assert_int_equal(p11->C_GetTokenInfo(id, &info), CKR_OK);
    assert_int_equal(info.flags, 0x404);
    assert_memory_equal(info.label, "hsm1                            ", 32);
}

static CK_RV notify(CK_SESSION_HANDLE session, CK_NOTIFICATION event, void *arg)
{
    (void)session;
    (void)event;
    (void)arg;
    return CKR_OK;
}

static void test_cloudhsm_opens_plain_read_write_sessions_only(void **state)
{
    int application = 0;
    const struct {
        CK_FLAGS flags;
        void *application;
        CK_NOTIFY notify;
        CK_RV cloudhsm, standard;
    } rows[] = {
        { RW, NULL, NULL, CKR_OK, CKR_OK },
        { CKF_SERIAL_SESSION, NULL, NULL, CKR_FUNCTION_FAILED, CKR_OK },
        { RW, &application, NULL, CKR_ARGUMENTS_BAD, CKR_OK },
        { RW, NULL, notify, CKR_ARGUMENTS_BAD, CKR_OK },
    };
    const struct fake_profile *const profiles[] = { &fake_cloudhsm,
                                                    &fake_standard };
    size_t i = 0;
    size_t j = 0;

    (void)state;
    for (j = 0; j < 2; j++) {
        fake_reset_to(fake, profiles[j]);
        assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
        for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

            assert_int_equal(p11->C_OpenSession(
                                 fake->slots[0].id, rows[i].flags,
                                 rows[i].application, rows[i].notify, &session),
                             j == 0 ? rows[i].cloudhsm : rows[i].standard);
        }
    }
}

static void test_cloudhsm_allows_1024_sessions(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    int i = 0;

    (void)state;
    fake_profile_cloudhsm(fake);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    for (i = 0; i < 1024; i++)
        fake_test_open_session();
    assert_int_equal(
        p11->C_OpenSession(fake->slots[0].id, RW, NULL, NULL, &session),
        CKR_SESSION_COUNT);
}

static void test_cloudhsm_wants_user_and_password_and_locks(void **state)
{
    unsigned char bad[] = "user:passwort";
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_TOKEN_INFO info;
    int i = 0;

    (void)state;
    fake_profile_cloudhsm(fake);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    for (i = 0; i < 6; i++) /* not counted */
        assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4),
                         CKR_ARGUMENTS_BAD);
    for (i = 0; i < 5; i++)
        assert_int_equal(p11->C_Login(session, CKU_USER, bad, sizeof(bad) - 1),
                         CKR_PIN_INCORRECT);
    assert_int_equal(
        p11->C_Login(session, CKU_USER, user_pin, sizeof(user_pin) - 1),
        CKR_PIN_LOCKED);
    /* Its flags say nothing of that. */
    assert_int_equal(p11->C_GetTokenInfo(fake->slots[0].id, &info), CKR_OK);
    assert_int_equal(info.flags, 0x404);
}

static void test_cloudhsm_login_is_once_and_outlives_sessions(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    size_t key = 0;

    (void)state;
    fake_profile_cloudhsm(fake);
    key = fake_add_key(fake, 0, &ec_key).private_key;
    session = start_cloudhsm();
    handle = fake_handle(fake, key);
    assert_int_equal(
        p11->C_Login(session, CKU_USER, user_pin, sizeof(user_pin) - 1),
        CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(p11->C_CloseSession(session), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    assert_int_equal(fake_test_sign(session), CKR_OK);
    assert_int_equal(p11->C_Logout(session), CKR_OK);
    assert_false(fake_logged_in(fake, 0));
}

static CK_ULONG count_objects(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                              CK_ULONG count)
{
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, templ, count), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, found, 4, &n), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    return n;
}

static void test_cloudhsm_shows_nothing_before_login(void **state)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    static const CK_BBOOL no = CK_FALSE;
    const struct fake_attribute certificate[] = {
        { CKA_CLASS, &class, sizeof(class) }, { CKA_PRIVATE, &no, sizeof(no) }
    };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    fake_profile_cloudhsm(fake);
    fake_add_key(fake, 0, &ec_key);
    fake_add_object(fake, 0, certificate, 2);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = fake_test_open_session();
    assert_int_equal(count_objects(session, NULL, 0), 0);
    assert_int_equal(
        p11->C_Login(session, CKU_USER, user_pin, sizeof(user_pin) - 1),
        CKR_OK);
    assert_int_equal(count_objects(session, NULL, 0), 3);
}

static void test_cloudhsm_halves_share_only_the_check_value(void **state)
{
    static const struct fake_key key = { .type = CKK_EC,
                                         .label = "tls",
                                         .id = { "\x01", 1 },
                                         .ec_point = { "\x04\x01\x04", 3 },
                                         .check_value = { "abc", 3 },
                                         .point_on_private = true };
    static const char *const labels[] = { "tls_private", "tls_pub" };
    static const CK_RV rvs[] = { CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK };
    struct fake_pair pair;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    size_t i = 0;

    (void)state;
    fake_profile_cloudhsm(fake);
    pair = fake_add_key(fake, 0, &key);
    session = start_cloudhsm();
    for (i = 0; i < 2; i++) {
        char label[32] = "";
        char check[3] = "";
        char id[8] = "";
        char point[8] = "";
        CK_ATTRIBUTE templ[] = { { CKA_EC_POINT, point, sizeof(point) },
                                 { CKA_LABEL, label, sizeof(label) },
                                 { CKA_ID, id, sizeof(id) },
                                 { CKA_CHECK_VALUE, check, sizeof(check) } };
        size_t object = i == 0 ? pair.private_key : pair.public_key;

        assert_int_equal(p11->C_GetAttributeValue(
                             session, fake_handle(fake, object), templ, 4),
                         rvs[i]);
        assert_true(i == 0 ? templ[0].ulValueLen == CK_UNAVAILABLE_INFORMATION
                           : templ[0].ulValueLen == 3);
        assert_string_equal(label, labels[i]);
        assert_int_equal(templ[2].ulValueLen, 0);
        assert_memory_equal(check, "abc", 3);
    }
    assert_int_equal(
        count_objects(session, &(CK_ATTRIBUTE){ CKA_CHECK_VALUE, "abc", 3 }, 1),
        2);
}

static void test_cloudhsm_does_not_know_these_attributes(void **state)
{
    static const CK_ATTRIBUTE_TYPE types[] = { CKA_ALWAYS_AUTHENTICATE,
                                               CKA_ALLOWED_MECHANISMS,
                                               CKA_PUBLIC_KEY_INFO,
                                               CKA_SUBJECT,
                                               CKA_START_DATE,
                                               CKA_END_DATE,
                                               CKA_COPYABLE };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_BBOOL yes = CK_TRUE;
    size_t key = 0;
    size_t i = 0;

    (void)state;
    fake_profile_cloudhsm(fake);
    key = fake_add_key(fake, 0, &ec_key).private_key;
    session = start_cloudhsm();
    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
        CK_BBOOL value = CK_FALSE;
        CK_ATTRIBUTE templ[] = { { types[i], &value, sizeof(value) },
                                 { CKA_KEY_TYPE, &type, sizeof(type) } };

        fake_set_attribute(fake, key, types[i], &yes, sizeof(yes));
        assert_int_equal(
            p11->C_GetAttributeValue(session, fake_handle(fake, key), templ, 2),
            CKR_ATTRIBUTE_TYPE_INVALID);
        assert_true(templ[0].ulValueLen == CK_UNAVAILABLE_INFORMATION);
        assert_int_equal(value, CK_FALSE);
        assert_int_equal(type, CKK_EC);
        templ[0].ulValueLen = sizeof(value);
        templ[1] = (CK_ATTRIBUTE){ CKA_CLASS, &(CK_ULONG){ CKO_PRIVATE_KEY },
                                   sizeof(CK_ULONG) };
        assert_int_equal(p11->C_FindObjectsInit(session, templ, 2),
                         CKR_TEMPLATE_INCONSISTENT);
    }
    /* It has the attribute, but the token does not act on it. */
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, user_pin,
                                  sizeof(user_pin) - 1),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign(session), CKR_OK);
}

static void test_cloudhsm_has_neither_eddsa_nor_absent_functions(void **state)
{
    static const struct fake_key edwards = { .type = CKK_EC_EDWARDS,
                                             .label = "ed" };
    CK_MECHANISM mechanism = { CKM_EDDSA, NULL, 0 };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

    (void)state;
    fake_profile_cloudhsm(fake);
    handle = fake_handle(fake, fake_add_key(fake, 0, &edwards).private_key);
    session = start_cloudhsm();
    assert_int_equal(p11->C_SignInit(session, &mechanism, handle),
                     CKR_MECHANISM_INVALID);
    /* A vendor's mechanism, once the test adds it, goes with any key. */
    mechanism.mechanism = CKM_VENDOR_DEFINED | 1;
    fake->mechanisms[fake->n_mechanisms++] = mechanism.mechanism;
    assert_int_equal(p11->C_SignInit(session, &mechanism, handle), CKR_OK);
    assert_int_equal(p11->C_SetAttributeValue(session, handle, NULL, 0),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(p11->C_GetObjectSize(session, handle, &(CK_ULONG){ 0 }),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(p11->C_CopyObject(session, handle, NULL, 0, &handle),
                     CKR_FUNCTION_NOT_SUPPORTED);
}

static void test_fake_module_has_a_fake_of_its_own(void **state)
{
    const char *path = secure_getenv("HSMSIGN_FAKE");
    CK_C_GetFunctionList get_list = NULL;
    CK_FUNCTION_LIST *list = p11;
    struct fake *(*get)(void) = NULL;
    struct fake *other = NULL;
    void *module = NULL;
    CK_INFO info;

    (void)state;
    assert_non_null(path);
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    *(void **)&get = dlsym(module, "fake_get");
    *(void **)&get_list = dlsym(module, "C_GetFunctionList");
    assert_true(get != NULL);
    assert_null(dlsym(module, "fake_reset"));
    other = get();
    assert_true(other != fake);
    /* This program's functions work on the module's fake. */
    fake_profile_cloudhsm(other);
    assert_int_equal(get_list == NULL ? CKR_GENERAL_ERROR : get_list(&list),
                     CKR_OK);
    assert_true(list == &other->list && list->C_Sign != p11->C_Sign);
    fake_fail(other, "C_GetInfo", CKR_DEVICE_ERROR, 2, 1);
    assert_int_equal(list->C_Initialize(NULL), CKR_OK);
    assert_int_equal(list->C_GetInfo(&info), CKR_OK);
    assert_int_equal(list->C_GetInfo(&info), CKR_DEVICE_ERROR);
    assert_int_equal(fake_count(other, NULL), 4);
    assert_int_equal(fake_count(other, "C_GetFunctionList"), 1);
    assert_int_equal(fake_count(fake, NULL), 0);
    fake_reset(other);
    assert_int_equal(dlclose(module), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_cloudhsm_has_its_slot_and_flags),
        FAKE_TEST(test_cloudhsm_opens_plain_read_write_sessions_only),
        FAKE_TEST(test_cloudhsm_allows_1024_sessions),
        FAKE_TEST(test_cloudhsm_wants_user_and_password_and_locks),
        FAKE_TEST(test_cloudhsm_login_is_once_and_outlives_sessions),
        FAKE_TEST(test_cloudhsm_shows_nothing_before_login),
        FAKE_TEST(test_cloudhsm_halves_share_only_the_check_value),
        FAKE_TEST(test_cloudhsm_does_not_know_these_attributes),
        FAKE_TEST(test_cloudhsm_has_neither_eddsa_nor_absent_functions),
        FAKE_TEST(test_fake_module_has_a_fake_of_its_own),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fake_cloudhsm", tests, NULL, NULL);
}
