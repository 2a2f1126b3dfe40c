/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/attr: attributes in one call, from a token that is scripted here,
 * since the point is how tokens misbehave: what they leave untouched, what
 * they claim, what they refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/attr.h"
#include "fixture.h"

#define NUMBER(number) &(number), sizeof(number)

struct value {
    CK_ATTRIBUTE_TYPE type;
    const void *bytes;
    CK_ULONG len;
};

/* The scripted token: reset by token_setup(). */
static struct token {
    struct value values[P11_ATTRS_MAX]; /* ends with a NULL */
    bool stops;                         /* at the first that it lacks */
    bool small_is_untouched;            /* a length that does not do stays */
    bool exact_numbers; /* NSS: a CK_ULONG wants its own size, no larger */
    CK_ULONG lie;       /* added to every length */
    CK_RV fail;         /* of call number fail_at, from 1 */
    size_t fail_at;
    size_t calls;
    CK_ULONG asked[64]; /* attributes in each call */
    size_t misaligned;  /* CK_ULONGs that were to be written at odd places */
} token;

static const struct value *find_value(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; token.values[i].bytes != NULL; i++) {
        if (token.values[i].type == type)
            return &token.values[i];
    }
    return NULL;
}

/* PKCS #11 v2.40, 5.7, C_GetAttributeValue. */
static CK_RV give(CK_ATTRIBUTE *attr)
{
    const struct value *value = find_value(attr->type);

    if (value == NULL) {
        attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (attr->ulValueLen < value->len ||
        (token.exact_numbers && value->len == sizeof(CK_ULONG) &&
         attr->ulValueLen != value->len)) {
        if (!token.small_is_untouched)
            attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (value->len == sizeof(CK_ULONG) &&
        (uintptr_t)attr->pValue % _Alignof(CK_ULONG) != 0)
        token.misaligned++;
    memcpy(attr->pValue, value->bytes, value->len);
    attr->ulValueLen = value->len + token.lie;
    return CKR_OK;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *tmpl,
                                 CK_ULONG n)
{
    CK_RV rv = CKR_OK;

    assert_int_equal(session, 1);
    assert_int_equal(object, 2);
    assert_true(token.calls < COUNT(token.asked));
    token.asked[token.calls++] = n;
    if (token.calls == token.fail_at)
        return token.fail;
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV one = give(&tmpl[i]);

        if (one != CKR_OK)
            rv = one;
        if (one == CKR_ATTRIBUTE_TYPE_INVALID && token.stops)
            return rv;
    }
    return rv;
}

static CK_FUNCTION_LIST list = { .C_GetAttributeValue = get_attribute_value };
static struct p11_module module = { .fl = &list };

static int token_setup(void **state)
{
    (void)state;
    memset(&token, 0, sizeof(token));
    return 0;
}

static CK_RV read_specs(const struct p11_attr_spec *specs, size_t n,
                        struct p11_attrs *attrs)
{
    return p11_attrs_read(&module, 1, 2, specs, n, attrs);
}

static void assert_attr(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                        const void *want, size_t len)
{
    const CK_ATTRIBUTE *attr = p11_attrs_get(attrs, type);

    assert_non_null(attr);
    assert_int_equal(attr->ulValueLen, len);
    assert_memory_equal(attr->pValue, want, len);
}

static const CK_KEY_TYPE rsa = CKK_RSA;
static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static const struct p11_attr_spec specs[] = {
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_LABEL, 8 },
    { CKA_SIGN, sizeof(CK_BBOOL) },
    { CKA_ID, 4 },
};

static void give_all(void)
{
    const struct value all[] = { { CKA_KEY_TYPE, NUMBER(rsa) },
                                 { CKA_LABEL, "signer", 6 },
                                 { CKA_SIGN, NUMBER(no) },
                                 { CKA_ID, "\x01", 1 } };

    memcpy(token.values, all, sizeof(all));
}

static void test_attributes_are_read_in_one_call(void **state)
{
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
    assert_int_equal(token.calls, 1);
    assert_int_equal(token.asked[0], COUNT(specs));
    assert_attr(&attrs, CKA_LABEL, "signer", 6);
    assert_attr(&attrs, CKA_ID, "\x01", 1);
    assert_int_equal(p11_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), CKK_RSA);
    assert_false(p11_attrs_bool(&attrs, CKA_SIGN, true));
    assert_null(p11_attrs_get(&attrs, CKA_MODULUS));
    p11_attrs_clear(&attrs);
}

static void test_unknown_attributes_are_absent_and_cost_no_call(void **state)
{
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    token.values[1].type = CKA_APPLICATION; /* no CKA_LABEL */
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
    assert_int_equal(token.calls, 1);
    assert_null(p11_attrs_get(&attrs, CKA_LABEL));
    assert_attr(&attrs, CKA_ID, "\x01", 1);
    assert_int_equal(p11_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), CKK_RSA);
    p11_attrs_clear(&attrs);
}

static void
test_attributes_behind_the_one_that_stops_are_asked_for(void **state)
{
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    token.stops = true;
    token.values[1].type = CKA_APPLICATION;
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
    assert_int_equal(token.calls, 3); /* all; CKA_SIGN; CKA_ID */
    assert_int_equal(token.asked[1], 1);
    assert_int_equal(token.asked[2], 1);
    assert_null(p11_attrs_get(&attrs, CKA_LABEL));
    assert_false(p11_attrs_bool(&attrs, CKA_SIGN, true));
    assert_attr(&attrs, CKA_ID, "\x01", 1);
    p11_attrs_clear(&attrs);
}

static void test_number_is_asked_for_with_its_own_size(void **state)
{
    (void)state;
    for (int lacks = 0; lacks < 2; lacks++) {
        struct p11_attrs attrs = { 0 };

        token_setup(NULL);
        give_all();
        token.exact_numbers = true;
        if (lacks)
            token.values[1].type = CKA_APPLICATION;
        assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
        assert_int_equal(token.calls, 1);
        assert_int_equal(p11_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), CKK_RSA);
        assert_attr(&attrs, CKA_ID, "\x01", 1);
        p11_attrs_clear(&attrs);
    }
}

static void test_number_behind_the_one_that_stops_is_asked_for(void **state)
{
    static const struct p11_attr_spec last[] = {
        { CKA_LABEL, 8 },
        { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    };
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    token.stops = true;
    token.values[1].type = CKA_APPLICATION;
    assert_int_equal(read_specs(last, COUNT(last), &attrs), CKR_OK);
    assert_int_equal(token.calls, 2);
    assert_int_equal(p11_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), CKK_RSA);
    p11_attrs_clear(&attrs);
}

/* An error is no answer: "absent" would make it another key (P11_KEY_CHANGED).
 */
static void test_error_of_a_single_attribute_is_returned(void **state)
{
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    token.stops = true;
    token.values[1].type = CKA_APPLICATION;
    token.fail = CKR_SESSION_HANDLE_INVALID;
    token.fail_at = 2;
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs),
                     CKR_SESSION_HANDLE_INVALID);
    p11_attrs_clear(&attrs);
}

static void test_larger_value_is_read_with_a_second_call(void **state)
{
    static const char label[] = "sixty-four bytes, which is eight times "
                                "what was expected of it: ok";

    (void)state;
    for (int untouched = 0; untouched < 2; untouched++) {
        struct p11_attrs attrs = { 0 };

        token_setup(NULL);
        give_all();
        token.small_is_untouched = untouched != 0;
        token.values[1] = (struct value){ CKA_LABEL, label, 64 };
        assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
        assert_int_equal(token.calls, 2);
        assert_attr(&attrs, CKA_LABEL, label, 64);
        assert_attr(&attrs, CKA_ID, "\x01", 1);
        p11_attrs_clear(&attrs);
    }
}

static void test_value_larger_than_eight_times_is_absent(void **state)
{
    static const char label[80] = "far too long";
    struct p11_attrs attrs = { 0 };

    (void)state;
    give_all();
    token.values[1] = (struct value){ CKA_LABEL, label, sizeof(label) };
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
    assert_null(p11_attrs_get(&attrs, CKA_LABEL));
    assert_attr(&attrs, CKA_ID, "\x01", 1);
    assert_false(p11_attrs_bool(&attrs, CKA_SIGN, true));
    p11_attrs_clear(&attrs);
}

static void test_value_of_every_length_up_to_eight_times_is_read(void **state)
{
    static const unsigned char bytes[64] = { 7, 6, 5, [63] = 1 };

    (void)state;
    for (CK_ULONG len = 1; len <= sizeof(bytes); len++) {
        struct p11_attrs attrs = { 0 };

        token_setup(NULL);
        give_all();
        token.values[1] = (struct value){ CKA_LABEL, bytes, len };
        assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
        assert_attr(&attrs, CKA_LABEL, bytes, len);
        assert_true(token.calls <= 2);
        p11_attrs_clear(&attrs);
    }
}

static void test_length_beyond_the_buffer_is_no_value(void **state)
{
    static const CK_ULONG lies[] = { 64, 1000, ~0UL - 8 };

    (void)state;
    for (size_t i = 0; i < COUNT(lies); i++) {
        struct p11_attrs attrs = { 0 };

        token_setup(NULL);
        give_all();
        token.lie = lies[i];
        assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
        for (size_t j = 0; j < COUNT(specs); j++)
            assert_null(p11_attrs_get(&attrs, specs[j].type));
        p11_attrs_clear(&attrs);
    }
}

static void
test_number_of_the_wrong_size_and_empty_value_are_absent(void **state)
{
    static const CK_BYTE small[4] = { 1, 1, 1, 1 };
    struct p11_attrs attrs = { 0 };

    (void)state;
    token.values[0] = (struct value){ CKA_KEY_TYPE, small, sizeof(small) };
    token.values[1] = (struct value){ CKA_SIGN, small, 2 };
    token.values[2] = (struct value){ CKA_ID, "", 0 };
    assert_int_equal(read_specs(specs, COUNT(specs), &attrs), CKR_OK);
    assert_int_equal(p11_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), 99);
    assert_true(p11_attrs_bool(&attrs, CKA_SIGN, true));
    assert_false(p11_attrs_bool(&attrs, CKA_SIGN, false));
    assert_null(p11_attrs_get(&attrs, CKA_ID));
    p11_attrs_clear(&attrs);
}

static void test_error_of_the_call_is_returned_and_leaves_nothing(void **state)
{
    static const CK_RV errors[] = { CKR_DEVICE_ERROR, CKR_OBJECT_HANDLE_INVALID,
                                    CKR_SESSION_CLOSED, CKR_GENERAL_ERROR };

    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        struct p11_attrs attrs = { 0 };

        token_setup(NULL);
        give_all();
        token.fail = errors[i];
        token.fail_at = 1;
        assert_int_equal(read_specs(specs, COUNT(specs), &attrs), errors[i]);
        assert_int_equal(token.calls, 1);
        assert_null(attrs.block);
        assert_int_equal(attrs.count, 0);
    }
}

/*
 * PKCS #11 v2.40, 3.4 (CK_ATTRIBUTE): application and library must see to it
 * that pValue can be cast to the expected type without alignment errors.
 */
static void test_numbers_are_written_to_aligned_places(void **state)
{
    static const struct p11_attr_spec odd[] = {
        { CKA_SIGN, sizeof(CK_BBOOL) },
        { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
        { CKA_ID, 3 },
        { CKA_CLASS, sizeof(CK_OBJECT_CLASS) },
    };
    struct p11_attrs attrs = { 0 };

    (void)state;
    token.values[0] = (struct value){ CKA_KEY_TYPE, NUMBER(rsa) };
    token.values[1] = (struct value){ CKA_SIGN, NUMBER(yes) };
    token.values[2] = (struct value){ CKA_CLASS, NUMBER(rsa) };
    assert_int_equal(read_specs(odd, COUNT(odd), &attrs), CKR_OK);
    assert_int_equal(token.misaligned, 0);
    p11_attrs_clear(&attrs);
}

static void test_none_or_too_many_attributes_make_no_call(void **state)
{
    struct p11_attr_spec many[P11_ATTRS_MAX + 1] = { { 0, 1 } };
    struct p11_attrs attrs = { 0 };

    (void)state;
    assert_int_equal(read_specs(many, 0, &attrs), CKR_HOST_MEMORY);
    assert_int_equal(read_specs(many, COUNT(many), &attrs), CKR_HOST_MEMORY);
    assert_int_equal(token.calls, 0);
    p11_attrs_clear(&attrs);
    p11_attrs_clear(&attrs); /* of what is empty already */
}

static void test_same_compares_values_and_absence(void **state)
{
    struct p11_attrs a = { 0 }, b = { 0 }, c = { 0 };

    (void)state;
    give_all();
    assert_int_equal(read_specs(specs, COUNT(specs), &a), CKR_OK);
    assert_int_equal(read_specs(specs, COUNT(specs), &b), CKR_OK);
    token.values[1] = (struct value){ CKA_LABEL, "signe", 5 };
    token.values[2] = (struct value){ CKA_SIGN, NUMBER(yes) };
    token.values[3].bytes = NULL;
    assert_int_equal(read_specs(specs, COUNT(specs), &c), CKR_OK);
    assert_true(p11_attrs_same(&a, &b, CKA_LABEL));
    assert_true(p11_attrs_same(&a, &b, CKA_ID));
    assert_true(p11_attrs_same(&a, &b, CKA_MODULUS)); /* neither has it */
    assert_true(p11_attrs_same(&a, &c, CKA_KEY_TYPE));
    assert_false(p11_attrs_same(&a, &c, CKA_LABEL)); /* shorter */
    assert_false(p11_attrs_same(&a, &c, CKA_SIGN));
    assert_false(p11_attrs_same(&a, &c, CKA_ID)); /* absent */
    assert_false(p11_attrs_same(&c, &a, CKA_ID));
    p11_attrs_clear(&a);
    p11_attrs_clear(&b);
    p11_attrs_clear(&c);
}

#define ATTR_TEST(name) cmocka_unit_test_setup(name, token_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ATTR_TEST(test_attributes_are_read_in_one_call),
        ATTR_TEST(test_unknown_attributes_are_absent_and_cost_no_call),
        ATTR_TEST(test_attributes_behind_the_one_that_stops_are_asked_for),
        ATTR_TEST(test_number_is_asked_for_with_its_own_size),
        ATTR_TEST(test_number_behind_the_one_that_stops_is_asked_for),
        ATTR_TEST(test_error_of_a_single_attribute_is_returned),
        ATTR_TEST(test_larger_value_is_read_with_a_second_call),
        ATTR_TEST(test_value_larger_than_eight_times_is_absent),
        ATTR_TEST(test_value_of_every_length_up_to_eight_times_is_read),
        ATTR_TEST(test_length_beyond_the_buffer_is_no_value),
        ATTR_TEST(test_number_of_the_wrong_size_and_empty_value_are_absent),
        ATTR_TEST(test_error_of_the_call_is_returned_and_leaves_nothing),
        ATTR_TEST(test_numbers_are_written_to_aligned_places),
        ATTR_TEST(test_none_or_too_many_attributes_make_no_call),
        ATTR_TEST(test_same_compares_values_and_absence),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
