/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/request: what each body asks for, the digest of what it brings, and
 * which fault each wrong one is.  EVP_Digest() is the second opinion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include "examples/hsmsignd/request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DATA         "what is signed"
#define DATA64       "d2hhdCBpcyBzaWduZWQ="
#define DIGEST                                                                 \
    "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static struct options options;

/* The body in pieces of that length. */
static bool ask(const char *body, size_t piece, struct request *r,
                struct fault *fault)
{
    size_t len = strlen(body);

    *fault = (struct fault){ 0 };
    request_begin(r, &options, NULL, "");
    while (len > 0) {
        size_t n = len < piece ? len : piece;

        request_feed(r, body, n);
        body += n;
        len -= n;
    }
    return request_end(r, fault);
}

static void assert_digest(const struct request *r, const char *md)
{
    unsigned char want[EVP_MAX_MD_SIZE];
    EVP_MD *fetched = EVP_MD_fetch(NULL, md, NULL);
    unsigned int n = 0;

    assert_int_equal(EVP_Digest(DATA, strlen(DATA), want, &n, fetched, NULL),
                     1);
    assert_int_equal(r->digest_len, n);
    assert_memory_equal(r->digest, want, n);
    assert_true(EVP_MD_is_a(r->md, md));
    EVP_MD_free(fetched);
}

static const struct {
    const char *name, *md;
} hashes[] = {
    { "sha256", "SHA256" }, { "SHA384", "SHA384" }, { "sha512", "SHA512" },
    { "sha224", "SHA224" }, { "sha160", "SHA1" },   { "Sha1", "SHA1" },
};

/* text, in which HASH is the hash's name */
static void name_hash(char *body, size_t size, const char *text,
                      const char *hash)
{
    const char *at = strstr(text, "HASH");

    assert_non_null(at);
    (void)snprintf(body, size, "%.*s%s%s", (int)(at - text), text, hash,
                   at + strlen("HASH"));
}

/* Named before what is hashed, behind it, or not at all. */
static void test_each_hash_is_made_whatever_comes_first(void **state)
{
    static const struct {
        const char *text;
        enum action action;
    } rows[] = {
        { "{\"action\":\"sign\",\"hash_algorithm\":\"HASH\","
          "\"data_to_be_signed\":\"" DATA64 "\"}",
          ACTION_SIGN },
        { "{\"data_to_be_signed\":\"" DATA64 "\",\"hash_algorithm\":\"HASH\","
          "\"action\":\"sign\"}",
          ACTION_SIGN },
        { "{\"action\":\"sign_pkcs7\",\"hash_algorithm\":\"HASH\","
          "\"encoded_contents\":\"" DATA64 "\"}",
          ACTION_PKCS7 },
        { "{\"encoded_contents\":\"" DATA64 "\",\"hash_algorithm\":\"HASH\"}",
          ACTION_PKCS7 },
        { "{\"encodedContents\":\"" DATA64 "\",\"hash_algorithm\":\"HASH\"}",
          ACTION_WEB },
    };

    (void)state;
    options.sha1 = 1;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t h = 0; h < COUNT(hashes); h++) {
            for (size_t piece = 1; piece < 200; piece += 33) {
                struct request r;
                struct fault fault;
                char body[512];

                name_hash(body, sizeof(body), rows[i].text, hashes[h].name);
                assert_true(ask(body, piece, &r, &fault));
                assert_int_equal(r.action, rows[i].action);
                assert_int_equal(r.digest_bit,
                                 request_digest_bit(hashes[h].name));
                assert_digest(&r, hashes[h].md);
                request_free(&r);
            }
        }
    }
    options.sha1 = 0;
}

static void test_sha256_is_what_is_meant_by_nothing(void **state)
{
    struct request r;
    struct fault fault;

    (void)state;
    assert_true(ask("{\"encoded_contents\":\"" DATA64 "\"}", 8, &r, &fault));
    assert_digest(&r, "SHA256");
    assert_string_equal(r.who.profile, "default");
    assert_false(r.cades);
    request_free(&r);
}

/* In hex of either case, under any of its names. */
static void test_digest_alone_is_taken(void **state)
{
    static const char *const names[] = { "digest", "document_digest", "hash" };
    static const char hex[] = "00112233445566778899aAbBcCdDeEfF"
                              "00112233445566778899aabbccddeeff";

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct request r;
        struct fault fault;
        char body[256];

        (void)snprintf(body, sizeof(body),
                       "{\"signature_type\":\"CAdES\",\"%s\":\"%s\"}", names[i],
                       hex);
        assert_true(ask(body, 100, &r, &fault));
        assert_true(r.cades);
        assert_int_equal(r.digest_len, 32);
        assert_int_equal(r.digest[15], 0xff);
        assert_int_equal(r.digest[10], 0xaa);
        request_free(&r);
    }
}

static void test_digest_beside_contents_is_compared(void **state)
{
    static const char body[] =
        "{\"encoded_contents\":\"" DATA64 "\",\"digest\":\"00\"}";
    struct request r;
    struct fault fault;

    (void)state;
    assert_true(ask(body, 100, &r, &fault));
    assert_true(r.mismatch);
    assert_digest(&r, "SHA256");
    request_free(&r);
    options.strict_digest = 1;
    assert_false(ask(body, 100, &r, &fault));
    assert_int_equal(fault.status, 400);
    request_free(&r);
    options.strict_digest = 0;
}

/* The right one, in either case, is no mismatch, even where that counts. */
static void test_digest_of_the_contents_matches(void **state)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    (void)state;
    assert_int_equal(EVP_Digest(DATA, strlen(DATA), md, &n, EVP_sha512(), NULL),
                     1);
    options.strict_digest = 1;
    for (int upper = 0; upper < 2; upper++) {
        char hex[2 * EVP_MAX_MD_SIZE + 1], body[512];
        struct request r;
        struct fault fault;

        for (unsigned int i = 0; i < n; i++)
            (void)snprintf(hex + 2 * (size_t)i, 3, upper ? "%02X" : "%02x",
                           md[i]);
        (void)snprintf(body, sizeof(body),
                       "{\"digest\":\"%s\",\"encoded_contents\":\"" DATA64
                       "\",\"hash_algorithm\":\"sha512\"}",
                       hex);
        assert_true(ask(body, 7, &r, &fault));
        assert_false(r.mismatch);
        assert_digest(&r, "SHA512");
        request_free(&r);
    }
    options.strict_digest = 0;
}

/* A name that Jansson has to read, or that is not the outermost object's. */
static void test_names_in_other_forms_are_no_hint(void **state)
{
    static const struct {
        const char *body, *md;
    } rows[] = {
        { "{\"hash_algorithm\":\"sha\\u0035\\u0031\\u0032\","
          "\"encoded_contents\":\"" DATA64 "\"}",
          "SHA512" },
        { "{\"hash\\u005falgorithm\":\"sha512\","
          "\"encoded_contents\":\"" DATA64 "\"}",
          "SHA512" },
        { "{\"x\":{\"hash_algorithm\":\"sha512\"},"
          "\"encoded_contents\":\"" DATA64 "\"}",
          "SHA256" },
        { "{\"hash_algorithm\":null,\"encoded_contents\":\"" DATA64 "\"}",
          "SHA256" },
        { "{\"encoded_contents\":\"d2hhdCBp\\ncyBz\\u0061Wdu\\r\\nZWQ\"}",
          "SHA256" },
        { "{\"encoded_contents\":\"\",\"encoded_contents \":\"Zg\","
          "\"digest\":\"" DIGEST "\"}",
          NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            struct request r;
            struct fault fault;

            assert_true(ask(rows[i].body, piece, &r, &fault));
            if (rows[i].md != NULL)
                assert_digest(&r, rows[i].md);
            else
                assert_int_equal(r.digest[1], 0x11);
            request_free(&r);
        }
    }
}

/* More than is decoded at once, and than is kept of attributes. */
static void test_long_data_are_hashed_to_their_end(void **state)
{
    static const size_t lens[] = { 6143,
                                   6144,
                                   6145,
                                   REQUEST_ATTRIBUTES_MAX - 1,
                                   REQUEST_ATTRIBUTES_MAX,
                                   REQUEST_ATTRIBUTES_MAX + 1,
                                   100000 };
    static unsigned char bytes[100000], md[EVP_MAX_MD_SIZE];
    static char body[140000];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t i = 0; i < COUNT(lens); i++) {
        size_t at =
            (size_t)snprintf(body, sizeof(body),
                             "{\"action\":\"sign\",\"data_to_be_signed\":\"");
        struct request r;
        struct fault fault;

        (void)EVP_EncodeBlock((unsigned char *)body + at, bytes, (int)lens[i]);
        memcpy(body + strlen(body), "\"}", 3);
        assert_true(ask(body, i % 2 == 0 ? sizeof(body) : 1000, &r, &fault));
        assert_int_equal(
            EVP_Digest(bytes, lens[i], md, NULL, EVP_sha256(), NULL), 1);
        assert_memory_equal(r.digest, md, 32);
        assert_int_equal(r.data.len, lens[i]);
        if (lens[i] <= REQUEST_ATTRIBUTES_MAX)
            assert_memory_equal(r.attributes, bytes, lens[i]);
        request_free(&r);
    }
}

static void test_certificates_need_nothing(void **state)
{
    struct request r;
    struct fault fault;

    (void)state;
    assert_true(ask("{\"action\":\"get_certificates\"}", 3, &r, &fault));
    assert_int_equal(r.action, ACTION_CERTIFICATES);
    request_free(&r);
}

static const struct {
    const char *body, *text;
} wrong_bodies[] = {
    { "", "empty" },
    { "{", "not a JSON object" },
    { "[]", "not a JSON object" },
    { "{}", "encoded_contents and digest are missing" },
    { "{\"action\":\"sign\"}", "data_to_be_signed is missing" },
    { "{\"action\":\"sign\",\"data_to_be_signed\":\"\"}", "is empty" },
    { "{\"action\":\"sign\",\"data_to_be_signed\":\"Z\"}", "not base64" },
    { "{\"action\":\"sign\",\"data_to_be_signed\":1}", "not a string" },
    { "{\"action\":\"sign\",\"data_to_be_signed\":\"Zg\","
      "\"data_to_be_signed\":\"Zg\"}",
      "twice" },
    { "{\"action\":\"encodedContents\"}", "Unknown action" },
    { "{\"action\":\"\",\"encoded_contents\":\"Zg\"}", "Unknown action" },
    { "{\"action\":1,\"encoded_contents\":\"Zg\"}", "not a string" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":\"sha3\"}",
      "is unknown" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":\"md5\"}", "not safe" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":\"sha1\"}", "not safe" },
    { "{\"hash_algorithm\":\"sha160\",\"encoded_contents\":\"Zg\"}",
      "not safe" },
    { "{\"encoded_contents\":\"Zg\",\"signature_type\":\"pades\"}",
      "is unknown" },
    { "{\"digest\":\"0011\"}", "not the hex of a sha256 digest" },
    { "{\"digest\":\"zz\"}", "not the hex" },
    /* Contents that are nothing but wrong are not left out. */
    { "{\"encoded_contents\":\"=\",\"digest\":\"" DIGEST "\"}",
      "encoded_contents is not base64" },
    { "{\"encoded_contents\":\"====\"}", "encoded_contents is not base64" },
    { "{\"encoded_contents\":\"!\",\"digest\":\"" DIGEST "\"}",
      "encoded_contents is not base64" },
    { "{\"encoded_contents\":\"Z\",\"digest\":\"" DIGEST "\"}",
      "encoded_contents is not base64" },
    { "{\"encodedContents\":\"Zg==Zg\"}", "encodedContents is not base64" },
    { "{\"encoded_contents\":\"Zg\",\"encodedContents\":\"Zg\"}", "twice" },
    { "{\"encoded_contents\":\"Zg\",\"encoded\\u005fcontents\":\"Zg\"}",
      "twice" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":\"sha256\","
      "\"hash_algorithm\":\"sha512\"}",
      "not a JSON object" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":256}",
      "hash_algorithm is not a string" },
    { "{\"encoded_contents\":\"Zg\",\"signature_type\":[]}",
      "signature_type is not a string" },
    { "{\"encoded_contents\":\"Zg\",\"hash_algorithm\":\"\"}", "is unknown" },
    { "{\"digest\":12}", "digest is not a string" },
    { "{\"document_digest\":{}}", "document_digest is not a string" },
    { "{\"hash\":true}", "hash is not a string" },
    { "{\"digest\":\"" DIGEST "\",\"hash_algorithm\":\"sha512\"}",
      "not the hex of a sha512 digest" },
    { "{\"action\":\"sign\",\"encoded_contents\":\"Zg\"}",
      "data_to_be_signed is missing" },
    { "{\"action\":\"sign_pkcs7\",\"data_to_be_signed\":\"Zg\"}",
      "encoded_contents and digest are missing" },
    { "{\"encoded_contents\":\"Zg\",\"signing_token\":"
      "{\"signMethod\":\"remote\"}}",
      "Invalid sign method" },
};

static void test_wrong_bodies_are_the_clients_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong_bodies); i++) {
        for (size_t piece = 1; piece < 100; piece += 50) {
            struct request r;
            struct fault fault;

            assert_false(ask(wrong_bodies[i].body, piece, &r, &fault));
            assert_int_equal(fault.status, 400);
            assert_non_null(strstr(fault.text, wrong_bodies[i].text));
            request_free(&r);
        }
    }
}

/* What a client wrote comes back as plain text, and not at any length. */
static void test_fault_is_printable_and_short(void **state)
{
    char body[2000] = "{\"action\":\"\\u001b[31m";
    struct request r;
    struct fault fault;

    (void)state;
    memset(body + strlen(body), 'x', 1000);
    memcpy(body + strlen(body), "\"}", 3);
    assert_false(ask(body, 100, &r, &fault));
    assert_null(strchr(fault.text, '\x1b'));
    assert_in_range(strlen(fault.text), 10, sizeof(fault.text) - 1);
    request_free(&r);
}

static int setup(void **state)
{
    (void)state;
    return request_init_digests() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    request_free_digests();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_hash_is_made_whatever_comes_first),
        cmocka_unit_test(test_sha256_is_what_is_meant_by_nothing),
        cmocka_unit_test(test_digest_alone_is_taken),
        cmocka_unit_test(test_digest_beside_contents_is_compared),
        cmocka_unit_test(test_digest_of_the_contents_matches),
        cmocka_unit_test(test_names_in_other_forms_are_no_hint),
        cmocka_unit_test(test_long_data_are_hashed_to_their_end),
        cmocka_unit_test(test_certificates_need_nothing),
        cmocka_unit_test(test_wrong_bodies_are_the_clients_fault),
        cmocka_unit_test(test_fault_is_printable_and_short),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
