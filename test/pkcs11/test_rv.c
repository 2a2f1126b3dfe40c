/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/rv: the table says the same as the standard, and every row makes a
 * line that a person can act on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../../pkcs11/rv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * The numbers of the OASIS header (2.40, and what 3.0 to 3.2 added), written
 * down as numbers: the system's header is under test as well.
 */
static const struct {
    CK_RV rv;
    const char *name;
    enum p11_class class;
} expected[] = {
    { 0x00, "CKR_OK", P11_CLASS_FATAL },
    { 0x01, "CKR_CANCEL", P11_CLASS_FATAL },
    { 0x02, "CKR_HOST_MEMORY", P11_CLASS_BUSY },
    { 0x03, "CKR_SLOT_ID_INVALID", P11_CLASS_DEVICE },
    { 0x05, "CKR_GENERAL_ERROR", P11_CLASS_FATAL },
    { 0x06, "CKR_FUNCTION_FAILED", P11_CLASS_BUSY },
    { 0x07, "CKR_ARGUMENTS_BAD", P11_CLASS_FATAL },
    { 0x08, "CKR_NO_EVENT", P11_CLASS_FATAL },
    { 0x09, "CKR_NEED_TO_CREATE_THREADS", P11_CLASS_FATAL },
    { 0x0a, "CKR_CANT_LOCK", P11_CLASS_FATAL },
    { 0x10, "CKR_ATTRIBUTE_READ_ONLY", P11_CLASS_FATAL },
    { 0x11, "CKR_ATTRIBUTE_SENSITIVE", P11_CLASS_FATAL },
    { 0x12, "CKR_ATTRIBUTE_TYPE_INVALID", P11_CLASS_FATAL },
    { 0x13, "CKR_ATTRIBUTE_VALUE_INVALID", P11_CLASS_FATAL },
    { 0x1b, "CKR_ACTION_PROHIBITED", P11_CLASS_FATAL },
    { 0x20, "CKR_DATA_INVALID", P11_CLASS_FATAL },
    { 0x21, "CKR_DATA_LEN_RANGE", P11_CLASS_FATAL },
    { 0x30, "CKR_DEVICE_ERROR", P11_CLASS_DEVICE },
    { 0x31, "CKR_DEVICE_MEMORY", P11_CLASS_BUSY },
    { 0x32, "CKR_DEVICE_REMOVED", P11_CLASS_DEVICE },
    { 0x40, "CKR_ENCRYPTED_DATA_INVALID", P11_CLASS_FATAL },
    { 0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE", P11_CLASS_FATAL },
    { 0x42, "CKR_AEAD_DECRYPT_FAILED", P11_CLASS_FATAL },
    { 0x50, "CKR_FUNCTION_CANCELED", P11_CLASS_FATAL },
    { 0x51, "CKR_FUNCTION_NOT_PARALLEL", P11_CLASS_FATAL },
    { 0x54, "CKR_FUNCTION_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0x60, "CKR_KEY_HANDLE_INVALID", P11_CLASS_HANDLE },
    { 0x62, "CKR_KEY_SIZE_RANGE", P11_CLASS_FATAL },
    { 0x63, "CKR_KEY_TYPE_INCONSISTENT", P11_CLASS_FATAL },
    { 0x64, "CKR_KEY_NOT_NEEDED", P11_CLASS_FATAL },
    { 0x65, "CKR_KEY_CHANGED", P11_CLASS_FATAL },
    { 0x66, "CKR_KEY_NEEDED", P11_CLASS_FATAL },
    { 0x67, "CKR_KEY_INDIGESTIBLE", P11_CLASS_FATAL },
    { 0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED", P11_CLASS_FATAL },
    { 0x69, "CKR_KEY_NOT_WRAPPABLE", P11_CLASS_FATAL },
    { 0x6a, "CKR_KEY_UNEXTRACTABLE", P11_CLASS_FATAL },
    { 0x70, "CKR_MECHANISM_INVALID", P11_CLASS_FATAL },
    { 0x71, "CKR_MECHANISM_PARAM_INVALID", P11_CLASS_FATAL },
    { 0x82, "CKR_OBJECT_HANDLE_INVALID", P11_CLASS_HANDLE },
    { 0x90, "CKR_OPERATION_ACTIVE", P11_CLASS_BUSY },
    { 0x91, "CKR_OPERATION_NOT_INITIALIZED", P11_CLASS_BUSY },
    { 0xa0, "CKR_PIN_INCORRECT", P11_CLASS_PIN },
    { 0xa1, "CKR_PIN_INVALID", P11_CLASS_PIN },
    { 0xa2, "CKR_PIN_LEN_RANGE", P11_CLASS_PIN },
    { 0xa3, "CKR_PIN_EXPIRED", P11_CLASS_PIN },
    { 0xa4, "CKR_PIN_LOCKED", P11_CLASS_PIN },
    { 0xb0, "CKR_SESSION_CLOSED", P11_CLASS_SESSION },
    { 0xb1, "CKR_SESSION_COUNT", P11_CLASS_LIMIT },
    { 0xb3, "CKR_SESSION_HANDLE_INVALID", P11_CLASS_SESSION },
    { 0xb4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0xb5, "CKR_SESSION_READ_ONLY", P11_CLASS_FATAL },
    { 0xb6, "CKR_SESSION_EXISTS", P11_CLASS_FATAL },
    { 0xb7, "CKR_SESSION_READ_ONLY_EXISTS", P11_CLASS_FATAL },
    { 0xb8, "CKR_SESSION_READ_WRITE_SO_EXISTS", P11_CLASS_FATAL },
    { 0xc0, "CKR_SIGNATURE_INVALID", P11_CLASS_FATAL },
    { 0xc1, "CKR_SIGNATURE_LEN_RANGE", P11_CLASS_FATAL },
    { 0xd0, "CKR_TEMPLATE_INCOMPLETE", P11_CLASS_FATAL },
    { 0xd1, "CKR_TEMPLATE_INCONSISTENT", P11_CLASS_FATAL },
    { 0xe0, "CKR_TOKEN_NOT_PRESENT", P11_CLASS_DEVICE },
    { 0xe1, "CKR_TOKEN_NOT_RECOGNIZED", P11_CLASS_DEVICE },
    { 0xe2, "CKR_TOKEN_WRITE_PROTECTED", P11_CLASS_FATAL },
    { 0xf0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", P11_CLASS_FATAL },
    { 0xf1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", P11_CLASS_FATAL },
    { 0xf2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", P11_CLASS_FATAL },
    { 0x100, "CKR_USER_ALREADY_LOGGED_IN", P11_CLASS_FATAL },
    { 0x101, "CKR_USER_NOT_LOGGED_IN", P11_CLASS_LOGIN },
    { 0x102, "CKR_USER_PIN_NOT_INITIALIZED", P11_CLASS_FATAL },
    { 0x103, "CKR_USER_TYPE_INVALID", P11_CLASS_FATAL },
    { 0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", P11_CLASS_FATAL },
    { 0x105, "CKR_USER_TOO_MANY_TYPES", P11_CLASS_FATAL },
    { 0x110, "CKR_WRAPPED_KEY_INVALID", P11_CLASS_FATAL },
    { 0x112, "CKR_WRAPPED_KEY_LEN_RANGE", P11_CLASS_FATAL },
    { 0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID", P11_CLASS_FATAL },
    { 0x114, "CKR_WRAPPING_KEY_SIZE_RANGE", P11_CLASS_FATAL },
    { 0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", P11_CLASS_FATAL },
    { 0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0x121, "CKR_RANDOM_NO_RNG", P11_CLASS_FATAL },
    { 0x130, "CKR_DOMAIN_PARAMS_INVALID", P11_CLASS_FATAL },
    { 0x140, "CKR_CURVE_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0x150, "CKR_BUFFER_TOO_SMALL", P11_CLASS_FATAL },
    { 0x160, "CKR_SAVED_STATE_INVALID", P11_CLASS_FATAL },
    { 0x170, "CKR_INFORMATION_SENSITIVE", P11_CLASS_FATAL },
    { 0x180, "CKR_STATE_UNSAVEABLE", P11_CLASS_FATAL },
    { 0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", P11_CLASS_LIBRARY },
    { 0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", P11_CLASS_FATAL },
    { 0x1a0, "CKR_MUTEX_BAD", P11_CLASS_FATAL },
    { 0x1a1, "CKR_MUTEX_NOT_LOCKED", P11_CLASS_FATAL },
    { 0x1b0, "CKR_NEW_PIN_MODE", P11_CLASS_FATAL },
    { 0x1b1, "CKR_NEXT_OTP", P11_CLASS_FATAL },
    { 0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS", P11_CLASS_FATAL },
    { 0x1b6, "CKR_FIPS_SELF_TEST_FAILED", P11_CLASS_FATAL },
    { 0x1b7, "CKR_LIBRARY_LOAD_FAILED", P11_CLASS_FATAL },
    { 0x1b8, "CKR_PIN_TOO_WEAK", P11_CLASS_PIN },
    { 0x1b9, "CKR_PUBLIC_KEY_INVALID", P11_CLASS_FATAL },
    { 0x1c0, "CKR_EXCEEDED_MAX_ITERATIONS", P11_CLASS_FATAL },
    { 0x1c1, "CKR_FIPS_SELF_TEST_FAILED", P11_CLASS_FATAL },
    { 0x1c2, "CKR_LIBRARY_LOAD_FAILED", P11_CLASS_FATAL },
    { 0x1c3, "CKR_PIN_TOO_WEAK", P11_CLASS_PIN },
    { 0x1c4, "CKR_PUBLIC_KEY_INVALID", P11_CLASS_FATAL },
    { 0x200, "CKR_FUNCTION_REJECTED", P11_CLASS_FATAL },
    { 0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", P11_CLASS_BUSY },
    { 0x202, "CKR_OPERATION_CANCEL_FAILED", P11_CLASS_FATAL },
    { 0x203, "CKR_KEY_EXHAUSTED", P11_CLASS_FATAL },
    { 0x204, "CKR_PENDING", P11_CLASS_FATAL },
    { 0x205, "CKR_SESSION_ASYNC_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0x206, "CKR_SEED_RANDOM_REQUIRED", P11_CLASS_FATAL },
    { 0x207, "CKR_OPERATION_NOT_VALIDATED", P11_CLASS_FATAL },
    { 0x208, "CKR_TOKEN_NOT_INITIALIZED", P11_CLASS_FATAL },
    { 0x209, "CKR_PARAMETER_SET_NOT_SUPPORTED", P11_CLASS_FATAL },
    { 0xc8534d01, "P11_CONFIG", P11_CLASS_FATAL },
    { 0xc8534d02, "P11_URI_INVALID", P11_CLASS_FATAL },
    { 0xc8534d03, "P11_MODULE_LOAD", P11_CLASS_FATAL },
    { 0xc8534d04, "P11_NO_TOKEN", P11_CLASS_FATAL },
    { 0xc8534d05, "P11_MANY_TOKENS", P11_CLASS_FATAL },
    { 0xc8534d06, "P11_NO_KEY", P11_CLASS_FATAL },
    { 0xc8534d07, "P11_MANY_KEYS", P11_CLASS_FATAL },
    { 0xc8534d08, "P11_NO_PIN", P11_CLASS_FATAL },
    { 0xc8534d09, "P11_PIN_SOURCE", P11_CLASS_FATAL },
    { 0xc8534d0a, "P11_KEY_UNUSABLE", P11_CLASS_FATAL },
    { 0xc8534d0b, "P11_KEY_NO_SIGN", P11_CLASS_FATAL },
    { 0xc8534d0c, "P11_KEY_CHANGED", P11_CLASS_FATAL },
    { 0xc8534d0d, "P11_SESSION_WAIT", P11_CLASS_FATAL },
    { 0xc8534d0e, "P11_NO_PUBLIC", P11_CLASS_FATAL },
    { 0xc8534d0f, "P11_DIGEST", P11_CLASS_FATAL },
    { 0xc8534d10, "P11_PARAMETER", P11_CLASS_FATAL },
    { 0xc8534d11, "P11_UNSUPPORTED", P11_CLASS_FATAL },
    { 0xc8534d12, "P11_EXITING", P11_CLASS_FATAL },
    { 0xc8534d13, "P11_NO_OBJECT", P11_CLASS_FATAL },
    { 0xc8534d14, "P11_MANY_OBJECTS", P11_CLASS_FATAL },
    { 0xc8534d15, "P11_KEY_EXISTS", P11_CLASS_FATAL },
    { 0xc8534d16, "P11_KEY_EXPOSED", P11_CLASS_FATAL },
    { 0xc8534d17, "P11_STALE", P11_CLASS_FATAL },
    { 0xc8534d18, "P11_LAST_TRY", P11_CLASS_PIN },
    { 0xc8534d19, "P11_BAD_SIGNATURE", P11_CLASS_FATAL },
    { 0xc8534d1a, "P11_KEY_PINNED", P11_CLASS_FATAL },
    { 0xc8534d1b, "P11_AUDIT", P11_CLASS_FATAL },
    { 0xc8534d1c, "P11_LOGIN", P11_CLASS_FATAL },
    { 0xc8534d1d, "P11_OVERTAKEN", P11_CLASS_BUSY },
};

static const struct p11_rv_info *table(size_t *n)
{
    const struct p11_rv_info *rows = p11_rv_table(n);

    assert_non_null(rows);
    assert_true(*n > 1);
    return rows;
}

static void test_rv_table_has_the_values_of_the_standard(void **state)
{
    size_t n;

    (void)state;
    (void)table(&n);
    assert_int_equal(n, COUNT(expected) + 1); /* "unknown" */
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct p11_rv_info *info = p11_rv_info(expected[i].rv);

        assert_string_equal(info->name, expected[i].name);
        assert_int_equal(info->rv, expected[i].rv);
        assert_int_equal(info->class, expected[i].class);
    }
}

static void test_rv_table_ascends_by_value(void **state)
{
    size_t n;
    const struct p11_rv_info *rows = table(&n);

    (void)state;
    for (size_t i = 1; i < n; i++) {
        if (rows[i].rv <= rows[i - 1].rv)
            fail_msg("%s stands after %s", rows[i].name, rows[i - 1].name);
    }
}

static void test_rv_info_finds_every_row(void **state)
{
    size_t n;
    const struct p11_rv_info *rows = table(&n);

    (void)state;
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(p11_rv_info(rows[i].rv), &rows[i]);
}

static void test_rv_info_answers_unknown_for_other_values(void **state)
{
    static const CK_RV others[] = { 4,          0xb2,       0x210,
                                    0x80000000, 0x80000123, 0xc8534d00,
                                    0xc8534d1e, 0xfffffffe };
    size_t n;
    const struct p11_rv_info *rows = table(&n);

    (void)state;
    for (size_t i = 0; i < COUNT(others); i++)
        assert_ptr_equal(p11_rv_info(others[i]), &rows[n - 1]);
    assert_string_equal(rows[n - 1].name, "unknown CK_RV");
    assert_int_equal(rows[n - 1].class, P11_CLASS_FATAL);
}

static bool is_one_clause(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && text[0] != ' ' && text[len - 1] != ' ' &&
           text[len - 1] != '.' && strchr(text, '\n') == NULL &&
           strstr(text, "  ") == NULL;
}

static void test_rv_every_row_has_a_reason_and_a_fix(void **state)
{
    size_t n;
    const struct p11_rv_info *rows = table(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        if (!is_one_clause(rows[i].reason) || strlen(rows[i].reason) > 60)
            fail_msg("%s: reason \"%s\"", rows[i].name, rows[i].reason);
        if (!is_one_clause(rows[i].fix) || strlen(rows[i].fix) > 320)
            fail_msg("%s: fix \"%s\"", rows[i].name, rows[i].fix);
    }
}

static void test_rv_every_pin_row_names_the_options(void **state)
{
    static const char *const names[] = { "pkcs11-module-token-pin", "HSM_PIN",
                                         "HSM_PIN_FILE" };
    size_t n, pins = 0;
    const struct p11_rv_info *rows = table(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].class != P11_CLASS_PIN || rows[i].rv == P11_LAST_TRY)
            continue;
        pins++;
        for (size_t j = 0; j < COUNT(names); j++)
            assert_non_null(strstr(rows[i].fix, names[j]));
    }
    assert_int_equal(pins, 7);
}

static void test_error_set_fills_and_returns_the_value(void **state)
{
    struct p11_error err = { .text = "left over" };

    (void)state;
    assert_int_equal(p11_error_set(&err, P11_NO_KEY, "%s-%d", "x", 7),
                     P11_NO_KEY);
    assert_int_equal(err.rv, P11_NO_KEY);
    assert_string_equal(err.text, "x-7");
}

static void test_error_set_takes_null(void **state)
{
    (void)state;
    assert_int_equal(p11_error_set(NULL, P11_NO_KEY, "%d", 1), P11_NO_KEY);
    assert_int_equal(p11_error_call(NULL, CKR_PIN_LOCKED, "C_Login", "x"),
                     CKR_PIN_LOCKED);
}

static void test_error_set_cuts_a_long_text_visibly(void **state)
{
    struct p11_error err;
    char text[2 * sizeof(err.text)];

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(err.text) - 1] = '\0';
    p11_error_set(&err, P11_CONFIG, "%s", text);
    assert_string_equal(err.text, text); /* just fits */

    text[sizeof(err.text) - 1] = 'a';
    text[sizeof(text) - 1] = '\0';
    p11_error_set(&err, P11_CONFIG, "%s", text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_string_equal(err.text + sizeof(err.text) - 5, "a...");
}

static void test_error_set_stays_on_one_line(void **state)
{
    struct p11_error err;

    (void)state;
    p11_error_set(&err, P11_NO_TOKEN, "a\nb\x1b[2J\x7f\tc");
    assert_string_equal(err.text, "a?b?[2J??c");
    p11_error_set(&err, P11_NO_TOKEN, "Schl\xc3\xbcssel");
    assert_string_equal(err.text, "Schl\xc3\xbcssel");
}

static void test_error_set_takes_its_own_text_as_argument(void **state)
{
    struct p11_error err;

    (void)state;
    p11_error_set(&err, P11_CONFIG, "inner");
    p11_error_set(&err, P11_CONFIG, "outer: %s", err.text);
    assert_string_equal(err.text, "outer: inner");
}

static void test_error_set_shows_errno(void **state)
{
    struct p11_error err;

    (void)state;
    errno = ENOENT;
    p11_error_set(&err, P11_MODULE_LOAD, "x: %m");
    assert_string_equal(err.text, "x: No such file or directory");
}

static void test_error_call_names_function_value_and_place(void **state)
{
    struct p11_error err;
    char want[sizeof(err.text)];

    (void)state;
    assert_int_equal(
        p11_error_call(&err, CKR_PIN_INCORRECT, "C_Login", "token \"demo\""),
        CKR_PIN_INCORRECT);
    assert_int_equal(err.rv, CKR_PIN_INCORRECT);
    (void)snprintf(want, sizeof(want),
                   "C_Login: CKR_PIN_INCORRECT (token \"demo\"): %s",
                   p11_rv_info(CKR_PIN_INCORRECT)->fix);
    assert_string_equal(err.text, want);
}

static void test_error_call_shows_a_vendor_value_in_hex(void **state)
{
    struct p11_error err;

    (void)state;
    p11_error_call(&err, 0x80000123, "C_Sign", "token \"demo\"");
    assert_memory_equal(err.text, "C_Sign: CK_RV 0x80000123 (token \"demo\"): ",
                        strlen("C_Sign: CK_RV 0x80000123 (token \"demo\"): "));
    assert_int_equal(err.rv, 0x80000123);
    assert_null(strstr(err.text, "unknown"));
}

/* A label has 32 bytes, an object's name is longer at the discretion of all. */
static void test_error_call_has_room_for_every_fix(void **state)
{
    char where[161];
    size_t n;
    const struct p11_rv_info *rows = table(&n);
    struct p11_error err;

    (void)state;
    memset(where, 'w', sizeof(where) - 1);
    where[sizeof(where) - 1] = '\0';
    for (size_t i = 0; i < n; i++) {
        p11_error_call(&err, rows[i].rv, "C_GetAttributeValue", where);
        assert_non_null(strstr(err.text, where));
        assert_non_null(strstr(err.text, rows[i].fix));
    }
}

/* OpenSSL's error queue shows the reason beside the text. */
static void test_error_call_does_not_repeat_the_reason(void **state)
{
    size_t n;
    const struct p11_rv_info *rows = table(&n);
    struct p11_error err;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        p11_error_call(&err, rows[i].rv, "C_Sign", "token \"demo\"");
        if (strstr(err.text, rows[i].reason) != NULL)
            fail_msg("%s", err.text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rv_table_has_the_values_of_the_standard),
        cmocka_unit_test(test_rv_table_ascends_by_value),
        cmocka_unit_test(test_rv_info_finds_every_row),
        cmocka_unit_test(test_rv_info_answers_unknown_for_other_values),
        cmocka_unit_test(test_rv_every_row_has_a_reason_and_a_fix),
        cmocka_unit_test(test_rv_every_pin_row_names_the_options),
        cmocka_unit_test(test_error_set_fills_and_returns_the_value),
        cmocka_unit_test(test_error_set_takes_null),
        cmocka_unit_test(test_error_set_cuts_a_long_text_visibly),
        cmocka_unit_test(test_error_set_stays_on_one_line),
        cmocka_unit_test(test_error_set_takes_its_own_text_as_argument),
        cmocka_unit_test(test_error_set_shows_errno),
        cmocka_unit_test(test_error_call_names_function_value_and_place),
        cmocka_unit_test(test_error_call_shows_a_vendor_value_in_hex),
        cmocka_unit_test(test_error_call_has_room_for_every_fix),
        cmocka_unit_test(test_error_call_does_not_repeat_the_reason),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
