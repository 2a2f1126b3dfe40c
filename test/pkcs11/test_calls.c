/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/calls and pkcs11/object: every call is guarded against a module that
 * left it out, and shown in the log without what it carries; a search is three
 * calls, and believes the token no count beyond what it was given room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../pkcs11/calls.h"
#include "../../pkcs11/log.h"
#include "../../pkcs11/attr.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

static void test_call_that_the_module_left_out_is_not_supported(void **state)
{
    CK_FUNCTION_LIST list = { .version = { 2, 40 } };
    CK_ULONG count = 0;
    CK_SESSION_HANDLE session = 0;

    (void)state;
#define MISSING(call) assert_int_equal(call, CKR_FUNCTION_NOT_SUPPORTED)
    MISSING(P11_CALL(&list, C_Initialize, NULL));
    MISSING(P11_CALL(&list, C_Finalize, NULL));
    MISSING(P11_CALL(&list, C_GetInfo, NULL));
    MISSING(P11_CALL(&list, C_GetSlotList, CK_TRUE, NULL, &count));
    MISSING(P11_CALL(&list, C_GetSlotInfo, 0, NULL));
    MISSING(P11_CALL(&list, C_GetTokenInfo, 0, NULL));
    MISSING(P11_CALL(&list, C_OpenSession, 0, 0, NULL, NULL, &session));
    MISSING(P11_CALL(&list, C_CloseSession, 0));
    MISSING(P11_CALL(&list, C_Login, 0, CKU_USER, NULL, 0));
    MISSING(P11_CALL(&list, C_FindObjectsInit, 0, NULL, 0));
    MISSING(P11_CALL(&list, C_FindObjects, 0, NULL, 0, &count));
    MISSING(P11_CALL(&list, C_FindObjectsFinal, 0));
    MISSING(P11_CALL(&list, C_GetAttributeValue, 0, 0, NULL, 0));
    MISSING(P11_CALL(&list, C_SignInit, 0, NULL, 0));
    MISSING(P11_CALL(&list, C_Sign, 0, NULL, 0, NULL, &count));
#undef MISSING
}

static void test_session_is_read_write_without_callback(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;
    struct p11_session *session;
    struct p11_slot *slot;

    fixture_reset(f, &fake_cloudhsm); /* refuses all others */
    fixture_open(f);
    assert_rv(f, fixture_find(f, "pkcs11:", &slot), CKR_OK);
    assert_rv(f, p11_session_borrow(slot, &session, &f->err), CKR_OK);
    assert_true(fake_call(f->fake, "C_OpenSession", 0, &call));
    assert_int_equal(call.flags, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    p11_session_give_back(slot, session, CKR_OK);
}

/* A file of the fixture's directory, in memory; the caller frees it. */
static char *slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 20000);
    size_t n;

    assert_non_null(file);
    assert_non_null(text);
    n = fread(text, 1, 19999, file);
    assert_true(n < 19999);
    (void)fclose(file);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void test_log_has_a_line_for_each_call_and_no_pin_or_data(void **state)
{
    static const char pin[] = "a-very-secret-PIN";
    struct fixture *f = *state;
    char path[300], spec[320];
    struct p11_key *key;
    char *text;

    fixture_copy_module(f, "fake.so");
    (void)snprintf(path, sizeof(path), "%s/log", f->dir);
    (void)snprintf(spec, sizeof(spec), "file:%s,debug", path);
    f->pair = fake_add_key(f->fake, 0, &fixture_rsa);
    fixture_open(f);
    fake_calls_reset(f->fake);
    assert_int_equal(p11_log_open(spec, &f->err), CKR_OK);
    assert_rv(f, fixture_load(f, URI, pin, &key, &f->err), CKR_PIN_INCORRECT);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    assert_signs(f);
    p11_log_close();
    text = slurp(path);
    (void)unlink(path);
    assert_int_equal(count_lines(text), fake_count(f->fake, NULL));
    assert_non_null(strstr(text, " ms CKR_PIN_INCORRECT (0xa0)"));
    assert_non_null(strstr(text, "C_Sign "));
    assert_null(strstr(text, pin));
    assert_null(strstr(text, "data"));
    free(text);
}

/* Search for private keys. */
static CK_RV find(struct fixture *f, struct p11_session *session,
                  CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE tmpl = { CKA_CLASS, &class, sizeof(class) };

    return p11_objects_find(&f->fake->list, session->handle, &tmpl, 1, objects,
                            max, count, "here", &f->err);
}

static struct p11_session *borrow(struct fixture *f)
{
    struct p11_session *session = NULL;

    assert_rv(f, p11_session_borrow(fixture_slot(f), &session, &f->err),
              CKR_OK);
    fake_calls_reset(f->fake);
    return session;
}

static void test_search_is_three_calls(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session = borrow(f);
    CK_OBJECT_HANDLE found[4];
    CK_ULONG count = 99;

    assert_rv(f, find(f, session, found, 4, &count), CKR_OK);
    assert_calls(f, "C_FindObjectsInit C_FindObjects C_FindObjectsFinal");
    assert_int_equal(count, 1);
    assert_int_equal(found[0], fake_handle(f->fake, f->pair.private_key));
    p11_session_give_back(fixture_slot(f), session, CKR_OK);
}

static void test_search_ends_with_the_last_that_has_room(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session = borrow(f);
    CK_OBJECT_HANDLE found[3] = { 0, 0, 4711 };
    CK_ULONG count = 99;

    for (int i = 0; i < 3; i++)
        (void)fake_add_key(f->fake, 0, &fixture_rsa);
    assert_rv(f, find(f, session, found, 2, &count), CKR_OK);
    assert_calls(f, "C_FindObjectsInit C_FindObjects C_FindObjectsFinal");
    assert_int_equal(count, 2);
    assert_int_equal(found[2], 4711);
    p11_session_give_back(fixture_slot(f), session, CKR_OK);
}

static CK_RV find_too_many(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects,
                           CK_ULONG max, CK_ULONG *count)
{
    (void)session;
    for (CK_ULONG i = 0; i < max; i++)
        objects[i] = 1;
    *count = max + 1000;
    return CKR_OK;
}

static void test_count_beyond_the_room_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct p11_session *session = borrow(f);
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 99;

    f->fake->list.C_FindObjects = find_too_many;
    assert_rv(f, find(f, session, found, 2, &count), CKR_OK);
    assert_int_equal(count, 2);
    p11_session_give_back(fixture_slot(f), session, CKR_OK);
}

static void test_error_of_a_search_names_call_and_place(void **state)
{
    static const char *const functions[] = { "C_FindObjectsInit",
                                             "C_FindObjects",
                                             "C_FindObjectsFinal" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(functions); i++) {
        struct p11_session *session = borrow(f);
        CK_OBJECT_HANDLE found[2];
        CK_ULONG count = 99;
        CK_RV rv;

        fake_fail(f->fake, functions[i], CKR_DEVICE_MEMORY, 1, 1);
        rv = find(f, session, found, 2, &count);
        assert_int_equal(rv, CKR_DEVICE_MEMORY);
        assert_int_equal(f->err.rv, rv);
        assert_text(f, functions[i]);
        assert_text(f, "CKR_DEVICE_MEMORY");
        assert_text(f, "here");
        fake_fail_none(f->fake);
        /* The search may still be active: this session is done with. */
        p11_session_give_back(fixture_slot(f), session, rv);
        session = borrow(f);
        assert_rv(f, find(f, session, found, 2, &count), CKR_OK);
        p11_session_give_back(fixture_slot(f), session, CKR_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_that_the_module_left_out_is_not_supported),
        TEST(test_session_is_read_write_without_callback),
        TEST(test_log_has_a_line_for_each_call_and_no_pin_or_data),
        TEST_KEY(test_search_is_three_calls),
        TEST_KEY(test_search_ends_with_the_last_that_has_room),
        TEST_KEY(test_count_beyond_the_room_is_not_believed),
        TEST_KEY(test_error_of_a_search_names_call_and_place),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
