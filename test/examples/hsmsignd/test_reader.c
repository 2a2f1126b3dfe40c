/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/reader: which strings are handed on, what is left for Jansson, and
 * that the pieces in which a body arrives make no difference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "examples/hsmsignd/reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct reader_field fields[] = {
    { "plain", false },
    { "long", true },
    { NULL, false },
};

/* What was heard: "plain=abc;long=|def;", and at the end the copy. */
struct heard {
    char text[4096];
    const char *refuse; /* what the listener says to "long" */
};

static const char *hear(void *arg, size_t field, const char *text, size_t len)
{
    struct heard *h = arg;
    size_t at = strlen(h->text);

    if (field == 1 && h->refuse != NULL)
        return h->refuse;
    /* Pieces of one string follow each other without a word. */
    if (field == 0 || len == 0)
        at += (size_t)snprintf(h->text + at, sizeof(h->text) - at,
                               ";%s=", fields[field].name);
    for (size_t i = 0; i < len; i++)
        at +=
            (size_t)snprintf(h->text + at, sizeof(h->text) - at,
                             text[i] > ' ' && text[i] < 0x7f ? "%c" : "<%02x>",
                             (unsigned char)text[i]);
    return NULL;
}

/* Read text, which is cut at each of the cuts. */
static void read_pieces(const char *text, size_t len, const size_t *cuts,
                        size_t n, struct heard *h)
{
    struct reader r;
    json_t *object;
    size_t at = 0, used;

    h->text[0] = '\0';
    reader_init(&r, fields, hear, h);
    for (size_t i = 0; i <= n; i++) {
        size_t end = i < n ? cuts[i] : len;
        char *copy = malloc(end - at + 1);

        assert_non_null(copy);
        memcpy(copy, text + at, end - at);
        reader_feed(&r, copy, end - at);
        free(copy);
        at = end;
    }
    object = reader_end(&r);
    used = strlen(h->text);
    if (object != NULL) {
        char *dump = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

        (void)snprintf(h->text + used, sizeof(h->text) - used, "|%s", dump);
        free(dump);
    } else {
        assert_non_null(r.error);
        (void)snprintf(h->text, sizeof(h->text), "!%s", r.error);
    }
    json_decref(object);
    reader_free(&r);
}

#define NO_JSON   "!the body is not JSON"
#define NO_OBJECT "!the body is not a JSON object"

static const struct {
    const char *text, *heard; /* heard begins with ! for an error */
} rows[] = {
    { "{\"plain\":\"a\",\"long\":\"bc\"}",
      ";plain=a;long=bc|{\"long\":\"\",\"plain\":\"a\"}" },
    { " { \"long\" : \"bc\" , \"plain\" : \"a\" } ",
      ";long=bc;plain=a|{\"long\":\"\",\"plain\":\"a\"}" },
    { "\xef\xbb\xbf{\"long\":\"x\"}", ";long=x|{\"long\":\"\"}" },
    { "{\"lon\\u0067\":\"x\"}", ";long=x|{\"long\":\"\"}" },
    { "{\"long\":\"a\\/b\\\\c\\\"d\\n\\t\"}",
      ";long=a/b\\c\"d<0a><09>|{\"long\":\"\"}" },
    { "{\"long\":\"\\u0041\\u00e9\\ud83d\\ude00\"}",
      ";long=A<7f><7f><7f>|{\"long\":\"\"}" },
    { "{\"long\":\"0123456789abcdef0123456789\\u002b\"}",
      ";long=0123456789abcdef0123456789+|{\"long\":\"\"}" },
    /* One with an escape is Jansson's. */
    { "{\"plain\":\"a\\u0062\"}", "|{\"plain\":\"ab\"}" },
    /* Only of the outermost object. */
    { "{\"x\":{\"long\":\"inner\",\"plain\":\"inner\"},\"long\":\"o\"}",
      ";long=o|{\"long\":\"\",\"x\":{\"long\":\"inner\",\"plain\":\"inner\"}"
      "}" },
    { "{\"x\":[\"long\",\"a\",{\"long\":\"b\"}]}",
      "|{\"x\":[\"long\",\"a\",{\"long\":\"b\"}]}" },
    /* What is unknown is left out, and what is no string is not handed on. */
    { "{\"other\":\"a\\u00ff\",\"long\":null}",
      "|{\"long\":null,\"other\":\"\"}" },
    { "{\"long\":12,\"plain\":[\"a\"]}", "|{\"long\":12,\"plain\":[\"a\"]}" },
    { "{}", "|{}" },
    { "", "!the body is empty" },
    { "[]", NO_OBJECT },
    { "\"long\"", NO_OBJECT },
    { "{\"long\":\"a\"", NO_OBJECT },
    { "{\"long\":\"a\"}}", NO_OBJECT },
    { "{\"long\":\"a\",\"long\":\"b\"}", NO_OBJECT },
    { "{\"long\":\"a\\x\"}", NO_JSON },
    { "{\"long\":\"a\\u00g0\"}", NO_JSON },
    { "{\"long\":\"a\nb\"}", NO_JSON },
    { "\xef\xbb{}", NO_JSON },
    { "{'long':'a'}", NO_OBJECT },
    { "{\"plain\":\"\xff\"}", NO_OBJECT },
    { "{\"\xff\":1}", NO_OBJECT },
    { "{\"plain\":\"\\ud83d\"}", NO_OBJECT },
    /* What is streamed is its listener's to judge. */
    { "{\"long\":\"a\xff\xc3\"}", ";long=a<ff><c3>|{\"long\":\"\"}" },
    { "{\"long\":\"\\u0000\\uD83D\"}", ";long=<00><7f>|{\"long\":\"\"}" },
    { "{\"long\":\"\\b\\f\\r\"}", ";long=<08><0c><0d>|{\"long\":\"\"}" },
    { "{\"long\":\"\\u004A\\u004a\\u002F\\u002f\"}",
      ";long=JJ//|{\"long\":\"\"}" },
    /* It is a byte order mark at the begin alone. */
    { "{\"long\":\"\xef\xbb\xbf\",\"plain\":\"\xef\xbb\xbf\"}",
      ";long=<ef><bb><bf>;plain=<ef><bb><bf>|{\"long\":\"\",\"plain\":"
      "\"\xef\xbb\xbf\"}" },
    /* A name is what it says, however it is written, and is there once. */
    { "{\"long\":\"a\",\"\\u006cong\":\"b\"}", NO_OBJECT },
    { "{\"other\":\"a\",\"other\":\"b\"}", NO_OBJECT },
    { "{\"x\":{\"a\":1,\"a\":2}}", NO_OBJECT },
    { "{\"long\\u0000\":\"a\"}", NO_OBJECT },
    { "{\"lon\":\"a\",\"longer\":\"b\",\"Long\":\"c\",\"\":\"d\"}",
      "|{\"\":\"\",\"Long\":\"\",\"lon\":\"\",\"longer\":\"\"}" },
    /* Not in two parts, without what is between, or with more behind. */
    { "{\"long\":\"a\" \"b\"}", NO_OBJECT },
    { "{\"x\" \"long\":\"a\"}", NO_OBJECT },
    { "{\"long\":\"a\",}", NO_OBJECT },
    { "{\"long\":\"a\"} {\"long\":\"b\"}", NO_OBJECT },
    { "{\"plain\":1 2}", NO_OBJECT },
    { "}{\"plain\":1}", NO_OBJECT },
    { "{\"x\":[{\"long\":\"a\"}],\"plain\":\"b\"}",
      ";plain=b|{\"plain\":\"b\",\"x\":[{\"long\":\"a\"}]}" },
    { "\xef\xbb\xbf", "!the body is empty" },
    { "\xef\xbb\xbf\xef\xbb\xbf{}", NO_OBJECT },
    { "{\"long\":\"\\u12", NO_OBJECT },
    { "{\"long\":\"a\\", NO_OBJECT },
};

static void test_strings_are_handed_on_and_the_rest_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct heard h = { 0 };

        read_pieces(rows[i].text, strlen(rows[i].text), NULL, 0, &h);
        assert_string_equal(h.text, rows[i].heard);
    }
}

static void test_pieces_make_no_difference(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].text), cuts[256];
        struct heard h = { 0 };

        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                cuts[0] = a;
                cuts[1] = b;
                read_pieces(rows[i].text, len, cuts, 2, &h);
                assert_string_equal(h.text, rows[i].heard);
            }
        }
        for (size_t a = 0; a < len; a++)
            cuts[a] = a;
        read_pieces(rows[i].text, len, cuts, len, &h);
        assert_string_equal(h.text, rows[i].heard);
    }
}

/* Many pieces by chance, of one text with all that is odd. */
static void test_many_pieces_make_no_difference(void **state)
{
    static const char text[] =
        "\xef\xbb\xbf { \"o\\\"ther\" : \"\\u00e9\\\\\" ,\r\n\"plain\":\"p\","
        "\"lon\\u0067\":\"0123456789\\/\\u002b\\\"abcdefgh\\\\\",\"x\":[1,"
        "{\"long\":\"inner\\\"\"}, -1.5e3, true]}\n";
    struct heard whole = { 0 }, h = { 0 };
    unsigned seed = 1;

    (void)state;
    read_pieces(text, strlen(text), NULL, 0, &whole);
    assert_string_equal(whole.text,
                        ";plain=p;long=0123456789/+\"abcdefgh\\|"
                        "{\"long\":\"\",\"o\\\"ther\":\"\",\"plain\":\"p\","
                        "\"x\":[1,{\"long\":\"inner\\\"\"},-1500.0,true]}");
    for (int i = 0; i < 3000; i++) {
        size_t cuts[256], n = 0;

        for (size_t at = 0; at < strlen(text) && n < COUNT(cuts); at++) {
            seed = seed * 1103515245U + 12345U;
            if (seed >> 16 & 4)
                cuts[n++] = at;
        }
        read_pieces(text, strlen(text), cuts, n, &h);
        assert_string_equal(h.text, whole.text);
    }
}

/* As deep as it fits: Jansson's limit is an error, and no crash. */
static void test_depth_has_a_limit(void **state)
{
    static const char *const begins[] = { "[", "{\"long\":" };

    (void)state;
    for (size_t i = 0; i < COUNT(begins); i++) {
        size_t len = strlen(begins[i]), n = (READER_TEXT_MAX - 10) / len;
        char *text = malloc(READER_TEXT_MAX);
        struct heard h = { 0 };

        assert_non_null(text);
        memcpy(text, "{\"x\":", 5);
        for (size_t k = 0; k < n; k++)
            memcpy(text + 5 + k * len, begins[i], len);
        read_pieces(text, 5 + n * len, NULL, 0, &h);
        assert_string_equal(h.text, NO_OBJECT);
        free(text);
    }
}

/* A NUL is no end of the body, wherever it stands. */
static void test_nul_is_no_json(void **state)
{
    static const char text[] =
        "{\"plain\":\"a\",\"long\":\"\\u0041\",\"x\":\"\\u0041\"}";

    (void)state;
    for (size_t i = 0; i <= strlen(text); i++) {
        char with[sizeof(text)];
        struct heard h = { 0 };

        memcpy(with, text, i);
        with[i] = '\0';
        memcpy(with + i + 1, text + i, strlen(text) - i);
        read_pieces(with, sizeof(with), NULL, 0, &h);
        assert_int_equal(h.text[0], '!');
    }
}

static void test_what_is_cut_off_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].text);

        if (rows[i].heard[0] == '!')
            continue;
        while (len > 0 && rows[i].text[len - 1] != '}')
            len--;
        while (--len > 0) {
            struct heard h = { 0 };

            read_pieces(rows[i].text, len, NULL, 0, &h);
            assert_int_equal(h.text[0], '!');
        }
    }
}

/* Only what is not streamed counts. */
static void test_copy_has_a_limit(void **state)
{
    size_t len = READER_TEXT_MAX + 100;
    char *text = malloc(len + 20);
    struct heard h = { 0 };
    struct reader r;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', len + 20);
    memcpy(text, "{\"plain\":\"", 10);
    read_pieces(text, len, NULL, 0, &h);
    assert_string_equal(h.text, "!the body has too much besides the document");
    /* A listener would not hold it. */
    h.refuse = NULL;
    reader_init(&r, (const struct reader_field[]){ { NULL, false } }, hear, &h);
    reader_feed(&r, "{\"x\":\"", 6);
    reader_feed(&r, text + 10, len - 10);
    reader_feed(&r, "\"}", 2);
    json_decref(reader_end(&r));
    assert_null(r.error);
    reader_free(&r);
    free(text);
}

static void test_listener_may_refuse(void **state)
{
    struct heard h = { .refuse = "not that" };
    const char text[] = "{\"plain\":\"a\",\"long\":\"b\"}";

    (void)state;
    read_pieces(text, strlen(text), NULL, 0, &h);
    assert_string_equal(h.text, "!not that");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_handed_on_and_the_rest_is_read),
        cmocka_unit_test(test_pieces_make_no_difference),
        cmocka_unit_test(test_many_pieces_make_no_difference),
        cmocka_unit_test(test_depth_has_a_limit),
        cmocka_unit_test(test_nul_is_no_json),
        cmocka_unit_test(test_what_is_cut_off_is_an_error),
        cmocka_unit_test(test_copy_has_a_limit),
        cmocka_unit_test(test_listener_may_refuse),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
