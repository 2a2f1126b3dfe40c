/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/pin: where a PIN comes from, what is refused and with which words.
 * Files are test_pin_file's, and what becomes of a PIN's bytes in memory is
 * test_pin_secret's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pin_fixture.h"

static void test_pin_holds_every_byte(void **state)
{
    unsigned char all[256];
    struct p11_pin *pin;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)i;
    pin = p11_pin_new(all, sizeof(all));
    assert_pin(pin, all, sizeof(all));
    p11_pin_free(pin);
}

static void test_pin_has_zero_to_max_bytes(void **state)
{
    static const unsigned char zeros[P11_PIN_MAX + 1];
    static const size_t lens[] = { 0, 1, P11_PIN_MAX };

    (void)state;
    for (size_t i = 0; i < COUNT(lens); i++) {
        struct p11_pin *pin = p11_pin_new(zeros, lens[i]);

        assert_pin(pin, zeros, lens[i]);
        p11_pin_free(pin);
    }
    assert_null(p11_pin_new(zeros, sizeof(zeros)));
    p11_pin_free(NULL);
}

static void test_pin_equal_compares_length_and_bytes(void **state)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        { "1234", "1234", true },  { "1234", "1235", false },
        { "1234", "0234", false }, { "1234", "123", false },
        { "", "", true },          { "", "1", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct p11_pin *a = p11_pin_new(rows[i].a, strlen(rows[i].a));
        struct p11_pin *b = p11_pin_new(rows[i].b, strlen(rows[i].b));

        assert_int_equal(p11_pin_equal(a, b), rows[i].equal);
        assert_int_equal(p11_pin_equal(b, a), rows[i].equal);
        assert_false(p11_pin_equal(a, NULL));
        assert_false(p11_pin_equal(NULL, b));
        p11_pin_free(a);
        p11_pin_free(b);
    }
    assert_true(p11_pin_equal(NULL, NULL));
}

static void test_option_is_literal_file_or_env(void **state)
{
    static const struct {
        const char *value;
        enum p11_pin_kind kind;
        const char *name; /* or the PIN */
    } rows[] = {
        { "1234", P11_PIN_LITERAL, "1234" },
        { "crypto_user:pass:w\"o'r$d#;", P11_PIN_LITERAL,
          "crypto_user:pass:w\"o'r$d#;" },
        { "\x01\x7f\x80\xff \t\n", P11_PIN_LITERAL, "\x01\x7f\x80\xff \t\n" },
        { "", P11_PIN_LITERAL, "" },
        { "/etc/pin", P11_PIN_LITERAL, "/etc/pin" },
        { "File:x", P11_PIN_LITERAL, "File:x" },
        { "file", P11_PIN_LITERAL, "file" },
        { "file:/etc/pin", P11_PIN_FILE, "/etc/pin" },
        { "file:relative", P11_PIN_FILE, "relative" },
        { "file:///etc/pin", P11_PIN_FILE, "///etc/pin" },
        { "env:NAME", P11_PIN_ENV, "NAME" },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        pin_parse(f, "", rows[i].value);
        assert_int_equal(f->source.kind, rows[i].kind);
        assert_string_equal(f->source.origin, ORIGIN);
        if (rows[i].kind == P11_PIN_LITERAL) {
            assert_pin(f->source.literal, rows[i].name, strlen(rows[i].name));
            assert_null(f->source.name);
        } else {
            assert_string_equal(f->source.name, rows[i].name);
            assert_null(f->source.literal);
        }
    }
}

static void test_option_without_path_or_name_is_refused(void **state)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        { "file:", ORIGIN " names no file" },
        { "env:", ORIGIN " names no environment variable" },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            p11_pin_source_parse(rows[i].value, ORIGIN, &f->source, &f->err),
            P11_CONFIG);
        assert_string_equal(f->err.text, rows[i].text);
        assert_int_equal(f->source.kind, P11_PIN_NONE);
    }
}

static void test_file_source_takes_every_text_as_a_path(void **state)
{
    static const char *const paths[] = { "/etc/pin", "file:x", "env:x", "1" };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(paths); i++) {
        p11_pin_source_clear(&f->source);
        assert_int_equal(p11_pin_source_set(P11_PIN_FILE, paths[i],
                                            "HSM_PIN_FILE", &f->source,
                                            &f->err),
                         CKR_OK);
        assert_int_equal(f->source.kind, P11_PIN_FILE);
        assert_string_equal(f->source.name, paths[i]);
    }
    p11_pin_source_clear(&f->source);
    assert_int_equal(p11_pin_source_set(P11_PIN_FILE, "", "HSM_PIN_FILE",
                                        &f->source, &f->err),
                     P11_CONFIG);
    assert_string_equal(f->err.text, "HSM_PIN_FILE names no file");
}

static void test_literal_is_read_as_it_is(void **state)
{
    static const char *const values[] = { "1234", "file:/etc/pin", "env:HOME",
                                          "user:pass word\n" };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(values); i++) {
        p11_pin_source_clear(&f->source);
        assert_int_equal(p11_pin_source_set(P11_PIN_LITERAL, values[i],
                                            "HSM_PIN", &f->source, &f->err),
                         CKR_OK);
        assert_int_equal(f->source.kind, P11_PIN_LITERAL);
        pin_reads(f, values[i], strlen(values[i]));
        pin_reads(f, values[i], strlen(values[i])); /* again */
    }
}

static void test_literal_too_long_is_refused_without_being_shown(void **state)
{
    struct pin_fixture *f = *state;
    char value[P11_PIN_MAX + 2];

    memset(value, 'Z', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(p11_pin_source_parse(value, ORIGIN, &f->source, &f->err),
                     P11_CONFIG);
    assert_non_null(strstr(f->err.text, "longer than 1024"));
    assert_null(strstr(f->err.text, "ZZZZZZZ"));
    value[P11_PIN_MAX] = '\0';
    assert_int_equal(p11_pin_source_parse(value, ORIGIN, &f->source, &f->err),
                     CKR_OK);
    pin_reads(f, value, P11_PIN_MAX);
}

/* "pin-value=$PIN" with PIN unset. */
static void test_literal_that_is_empty_is_never_tried(void **state)
{
    static const char *const words[] = { ORIGIN, "empty" };
    struct pin_fixture *f = *state;

    pin_parse(f, "", "");
    pin_read_fails(f, P11_PIN_SOURCE, words, COUNT(words));
}

static void test_env_gives_its_value_afresh(void **state)
{
    struct pin_fixture *f = *state;

    pin_parse(f, "env:", VARIABLE);
    assert_int_equal(setenv(VARIABLE, "user:pass \n", 1), 0);
    pin_reads(f, BYTES("user:pass \n"));
    assert_int_equal(setenv(VARIABLE, "other", 1), 0);
    pin_reads(f, BYTES("other"));
}

static void test_env_unset_empty_or_too_long_is_refused(void **state)
{
    static const char *const unset[] = { ORIGIN, VARIABLE, "not set" };
    static const char *const empty[] = { ORIGIN, VARIABLE, "empty" };
    static const char *const too_long[] = { ORIGIN, VARIABLE, "longer" };
    struct pin_fixture *f = *state;
    char value[P11_PIN_MAX + 2];

    pin_parse(f, "env:", VARIABLE);
    pin_read_fails(f, P11_PIN_SOURCE, unset, COUNT(unset));
    assert_int_equal(setenv(VARIABLE, "", 1), 0);
    pin_read_fails(f, P11_PIN_SOURCE, empty, COUNT(empty));
    memset(value, 'Z', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(setenv(VARIABLE, value, 1), 0);
    pin_read_fails(f, P11_PIN_SOURCE, too_long, COUNT(too_long));
    assert_null(strstr(f->err.text, "ZZ"));
}

static void test_pin_source_of_a_uri_is_a_local_file(void **state)
{
    static const struct {
        const char *value, *path;
    } rows[] = {
        { "file:/etc/pin", "/etc/pin" },
        { "file:///etc/pin", "/etc/pin" },
        { "file://localhost/etc/pin", "/etc/pin" },
        { "FILE://LocalHost/etc/pin", "/etc/pin" },
        { "file:pin", "pin" },
        { "/etc/pin", "/etc/pin" },
        { "/etc/a:b|c", "/etc/a:b|c" },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        p11_pin_source_clear(&f->source);
        assert_int_equal(p11_pin_source_uri(rows[i].value, &f->source, &f->err),
                         CKR_OK);
        assert_int_equal(f->source.kind, P11_PIN_FILE);
        assert_string_equal(f->source.name, rows[i].path);
        assert_string_equal(f->source.origin, "pin-source");
    }
}

/* It might be a PIN in the wrong attribute: the text does not show it. */
static void test_pin_source_of_another_kind_is_refused_unseen(void **state)
{
    static const char *const bad[] = { "Secret7",
                                       "|cat Secret7",
                                       "",
                                       "file:",
                                       "file://Secret7/etc/pin",
                                       "file://localhostSecret7/pin",
                                       "file://localhost",
                                       "file://",
                                       "https://Secret7/",
                                       "env:Secret7" };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(p11_pin_source_uri(bad[i], &f->source, &f->err),
                         P11_PIN_SOURCE);
        assert_ptr_equal(strstr(f->err.text, "pin-source "), f->err.text);
        assert_null(strstr(f->err.text, "Secret7"));
        assert_int_equal(f->source.kind, P11_PIN_NONE);
    }
}

static void test_source_that_is_nowhere_is_no_pin(void **state)
{
    static const char *const words[] = { "pkcs11-module-token-pin", "HSM_PIN",
                                         "HSM_PIN_FILE" };
    struct pin_fixture *f = *state;

    pin_read_fails(f, P11_NO_PIN, words, COUNT(words));
}

/* What the person at the prompt does. */
struct person {
    const char *answer; /* NULL: there is nobody */
    size_t claimed;     /* the length that the callback reports */
    unsigned asked;
    size_t size;
    char label[64];
};

static bool prompt(void *arg, const char *label, char *buf, size_t size,
                   size_t *len)
{
    struct person *person = arg;

    person->asked++;
    person->size = size;
    (void)snprintf(person->label, sizeof(person->label), "%s", label);
    if (person->answer == NULL)
        return false;
    memcpy(buf, person->answer, strlen(person->answer));
    *len = person->claimed;
    return true;
}

static void test_prompt_is_asked_with_the_label(void **state)
{
    struct pin_fixture *f = *state;
    struct person person = { .answer = "typed", .claimed = 5 };
    const struct p11_pin_request request = { .prompt = prompt,
                                             .prompt_arg = &person };
    struct p11_pin *pin = NULL;

    assert_int_equal(p11_pin_get(&request, "demo", &pin, &f->err), CKR_OK);
    assert_pin(pin, BYTES("typed"));
    assert_int_equal(person.asked, 1);
    assert_int_equal(person.size, P11_PIN_MAX);
    assert_string_equal(person.label, "demo");
    p11_pin_free(pin);
}

static void test_prompt_without_an_answer_is_no_pin(void **state)
{
    static const struct person persons[] = {
        { .answer = NULL },
        { .answer = "" },                                  /* Return pressed */
        { .answer = "typed", .claimed = P11_PIN_MAX + 1 }, /* a wrong length */
    };
    struct pin_fixture *f = *state;
    struct p11_pin *pin = NULL;

    for (size_t i = 0; i < COUNT(persons); i++) {
        struct person person = persons[i];
        const struct p11_pin_request request = { .prompt = prompt,
                                                 .prompt_arg = &person };

        assert_int_equal(p11_pin_get(&request, "demo", &pin, &f->err),
                         P11_NO_PIN);
        assert_int_equal(f->err.rv, P11_NO_PIN);
        assert_non_null(strstr(f->err.text, "token \"demo\""));
        assert_non_null(strstr(f->err.text, "pkcs11-module-token-pin"));
        assert_null(pin);
    }
}

static void
test_request_draws_on_uri_then_configuration_then_prompt(void **state)
{
    static const struct {
        const char *uri, *config; /* NULL: none */
        const char *pin;
        unsigned asked;
    } rows[] = {
        { "1111", "2222", "1111", 0 },
        { "1111", NULL, "1111", 0 },
        { NULL, "2222", "2222", 0 },
        { NULL, NULL, "typed", 1 },
    };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct p11_pin_source uri = { 0 }, config = { 0 };
        struct person person = { .answer = "typed", .claimed = 5 };
        const struct p11_pin_request request = { &uri, &config, prompt,
                                                 &person };
        struct p11_pin *pin = NULL;

        if (rows[i].uri != NULL)
            assert_int_equal(p11_pin_source_set(P11_PIN_LITERAL, rows[i].uri,
                                                "pin-value", &uri, &f->err),
                             CKR_OK);
        if (rows[i].config != NULL)
            assert_int_equal(p11_pin_source_set(P11_PIN_LITERAL, rows[i].config,
                                                ORIGIN, &config, &f->err),
                             CKR_OK);
        assert_int_equal(p11_pin_get(&request, "demo", &pin, &f->err), CKR_OK);
        assert_pin(pin, rows[i].pin, strlen(rows[i].pin));
        assert_int_equal(person.asked, rows[i].asked);
        p11_pin_free(pin);
        p11_pin_source_clear(&uri);
        p11_pin_source_clear(&config);
    }
}

static void test_request_whose_source_fails_asks_nobody_else(void **state)
{
    struct pin_fixture *f = *state;
    struct p11_pin_source config = { 0 };
    struct person person = { .answer = "typed", .claimed = 5 };
    const struct p11_pin_request request = { &f->source, &config, prompt,
                                             &person };
    struct p11_pin *pin = NULL;

    pin_parse(f, "file:", f->path); /* missing */
    assert_int_equal(
        p11_pin_source_set(P11_PIN_LITERAL, "2222", ORIGIN, &config, &f->err),
        CKR_OK);
    assert_int_equal(p11_pin_get(&request, "demo", &pin, &f->err),
                     P11_PIN_SOURCE);
    assert_null(pin);
    assert_int_equal(person.asked, 0);
    p11_pin_source_clear(&config);
}

static void test_request_with_nothing_is_no_pin(void **state)
{
    static const struct p11_pin_request nothing;
    struct pin_fixture *f = *state;
    struct p11_pin *pin = NULL;

    assert_int_equal(p11_pin_get(&nothing, "demo", &pin, &f->err), P11_NO_PIN);
    assert_non_null(strstr(f->err.text, "token \"demo\""));
    assert_null(pin);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, pin_setup, pin_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_pin_holds_every_byte),
        TEST(test_pin_has_zero_to_max_bytes),
        TEST(test_pin_equal_compares_length_and_bytes),
        TEST(test_option_is_literal_file_or_env),
        TEST(test_option_without_path_or_name_is_refused),
        TEST(test_file_source_takes_every_text_as_a_path),
        TEST(test_literal_is_read_as_it_is),
        TEST(test_literal_too_long_is_refused_without_being_shown),
        TEST(test_literal_that_is_empty_is_never_tried),
        TEST(test_env_gives_its_value_afresh),
        TEST(test_env_unset_empty_or_too_long_is_refused),
        TEST(test_pin_source_of_a_uri_is_a_local_file),
        TEST(test_pin_source_of_another_kind_is_refused_unseen),
        TEST(test_source_that_is_nowhere_is_no_pin),
        TEST(test_prompt_is_asked_with_the_label),
        TEST(test_prompt_without_an_answer_is_no_pin),
        TEST(test_request_draws_on_uri_then_configuration_then_prompt),
        TEST(test_request_whose_source_fails_asks_nobody_else),
        TEST(test_request_with_nothing_is_no_pin),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
