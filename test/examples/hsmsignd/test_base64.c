/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/base64: what is taken, what is not, and that the pieces in which it
 * comes make no difference.  OpenSSL's decoder is the second opinion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "examples/hsmsignd/base64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Decode text, which is cut behind each of the cuts; -1: it is no base64. */
static long decode(const char *text, size_t len, const size_t *cuts, size_t n,
                   unsigned char *out)
{
    struct base64 b = { 0 };
    size_t done = 0, at = 0, rest;

    for (size_t i = 0; i <= n; i++) {
        size_t end = i < n ? cuts[i] : len, piece = end - at;
        /* Of its own size, so that sanitizers see what goes beyond it. */
        char *copy = malloc(piece + 1);
        unsigned char *room = malloc(BASE64_MAX(piece));
        size_t written;

        assert_true(copy != NULL && room != NULL);
        memcpy(copy, text + at, piece);
        written = base64_decode(&b, copy, piece, room);
        memcpy(out + done, room, written);
        done += written;
        at = end;
        free(copy);
        free(room);
    }
    if (!base64_end(&b, out + done, &rest))
        return -1;
    assert_in_range(rest, 0, 2);
    return (long)(done + rest);
}

static void test_base64_is_taken_in_each_form(void **state)
{
    static const struct {
        const char *text, *bytes;
    } rows[] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zg", "f" },
        { "Zg=", "f" },
        { "Zm8=", "fo" },
        { "Zm8", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYmFy", "foobar" },
        { "Zm9v\r\nYmFy\n", "foobar" },
        { " Z m 9 v\t", "foo" },
        { "Z\ng\n=\n=\n", "f" },
        { "+/+/", "\xfb\xff\xbf" },
        { "-_-_", "\xfb\xff\xbf" },
        { "+_-/", "\xfb\xff\xbf" },
    };
    unsigned char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].bytes);

        assert_int_equal(
            decode(rows[i].text, strlen(rows[i].text), NULL, 0, out), len);
        assert_memory_equal(out, rows[i].bytes, len);
    }
}

static void test_what_is_no_base64_is_refused(void **state)
{
    static const char *const rows[] = { "Z",       "=",       "====",   "Zm9v=",
                                        "Zm9vZ",   "Zg==Zg",  "Zg=Z",   "Zm9v!",
                                        "Zm9\x01", "Zm9\xff", "Zm9v%3D" };
    unsigned char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(decode(rows[i], strlen(rows[i]), NULL, 0, out), -1);
    /* Nor is a NUL the end. */
    assert_int_equal(decode("Zm9v\0Zm9v", 9, NULL, 0, out), -1);
}

/* Random bytes of each length, in any two pieces, and in many. */
static void test_pieces_make_no_difference(void **state)
{
    unsigned char bytes[201], out[300], reference[300];
    char text[300];

    (void)state;
    for (size_t len = 0; len < sizeof(bytes); len++) {
        size_t n, cuts[64];

        assert_int_equal(RAND_bytes(bytes, sizeof(bytes)), 1);
        n = (size_t)EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
        assert_int_equal(
            EVP_DecodeBlock(reference, (unsigned char *)text, (int)n),
            (len + 2) / 3 * 3);
        for (size_t cut = 0; cut <= n; cut++) {
            assert_int_equal(decode(text, n, &cut, 1, out), len);
            assert_memory_equal(out, reference, len);
        }
        for (size_t i = 0; i < COUNT(cuts); i++)
            cuts[i] = i * n / COUNT(cuts);
        assert_int_equal(decode(text, n, cuts, COUNT(cuts), out), len);
        assert_memory_equal(out, bytes, len);
    }
}

/* What base64.h says, one character at a time; -1: it is no base64. */
static long decode_slowly(const char *text, size_t len, unsigned char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t characters = 0, bytes = 0;
    unsigned bits = 0;
    bool padded = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
        const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

        if (c == '=') {
            padded = true;
        } else if (at != NULL && !padded) {
            bits = bits << 6 | (unsigned)(at - alphabet);
            if (++characters % 4 != 1)
                out[bytes++] =
                    (unsigned char)(bits >> (4 - characters % 4) % 4 * 2);
        } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            return -1;
        }
    }
    return characters % 4 == 1 || (padded && characters % 4 == 0) ? -1
                                                                  : (long)bytes;
}

static void assert_as_slowly(const char *text, size_t len, const size_t *cuts,
                             size_t n)
{
    unsigned char out[300], want[300];
    long written = decode_slowly(text, len, want);

    assert_int_equal(decode(text, len, cuts, n, out), written);
    if (written > 0)
        assert_memory_equal(out, want, (size_t)written);
}

/* Each byte in each place of a group, and behind what is odd about it. */
static void test_each_byte_is_what_it_is(void **state)
{
    static const char *const frames[] = { "Zm9v", "Zm9vYg", " Zm9v",
                                          "Zg==", "Zm8=" };

    (void)state;
    for (size_t f = 0; f < COUNT(frames); f++) {
        size_t len = strlen(frames[f]);

        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char text[8];

                memcpy(text, frames[f], len);
                text[at] = (char)c;
                assert_as_slowly(text, len, NULL, 0);
            }
        }
    }
}

/* Text of 0 to 200 characters by chance, most of it base64, in pieces. */
static void test_text_by_chance_is_as_one_character_at_a_time(void **state)
{
    static const char odd[] = " \r\n\t=!";

    (void)state;
    for (size_t i = 0; i < 5000; i++) {
        unsigned char chance[256];
        size_t len, n, cuts[8];
        char text[201];

        assert_int_equal(RAND_bytes(chance, sizeof(chance)), 1);
        len = chance[255] % 201U;
        (void)EVP_EncodeBlock((unsigned char *)text, chance, 150);
        /* None, or some that is odd; = and what is bad at the end mostly. */
        for (size_t k = 0; len > 0 && k < chance[254] % 4U; k++) {
            size_t which = chance[240 + k] % (sizeof(odd) - 1);

            text[which < 4 ? chance[k] % len : len - 1 - chance[k] % len / 40] =
                odd[which];
        }
        n = chance[253] % 8U;
        for (size_t k = 0; k < n; k++)
            cuts[k] = k * len / n + (k > 0 ? 0 : chance[252] % (len / n + 1));
        assert_as_slowly(text, len, cuts, n);
        for (size_t cut = 0; i % 100 == 0 && cut <= len; cut++)
            assert_as_slowly(text, len, &cut, 1);
    }
}

static void test_what_is_encoded_decodes(void **state)
{
    unsigned char bytes[100], out[150];

    (void)state;
    for (size_t len = 0; len < sizeof(bytes); len++) {
        BIO *mem = BIO_new(BIO_s_mem());
        char *text;

        assert_int_equal(RAND_bytes(bytes, sizeof(bytes)), 1);
        BIO_write(mem, bytes, (int)len);
        text = base64_encode(mem);
        assert_non_null(text);
        assert_int_equal(strcspn(text, "\n"), strlen(text));
        assert_int_equal(decode(text, strlen(text), NULL, 0, out), len);
        assert_memory_equal(out, bytes, len);
        OPENSSL_free(text);
        BIO_free(mem);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_is_taken_in_each_form),
        cmocka_unit_test(test_what_is_no_base64_is_refused),
        cmocka_unit_test(test_pieces_make_no_difference),
        cmocka_unit_test(test_each_byte_is_what_it_is),
        cmocka_unit_test(test_text_by_chance_is_as_one_character_at_a_time),
        cmocka_unit_test(test_what_is_encoded_decodes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
