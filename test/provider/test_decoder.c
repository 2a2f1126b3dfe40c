/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/decoder: a PEM file that wraps a URI is the key, or the
 * certificate, to programs that open files only; other files stay what they
 * were.
 */
#include "wrap.h"
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <stdio.h>

static OSSL_LIB_CTX *ctx;
static EVP_PKEY *public; /* of p256 */

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    public = fixture_public("p256");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static EVP_PKEY *read_key(BIO *bio)
{
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_der(const struct der *der)
{
    return read_key(pem(LABEL, der));
}

static void assert_is_p256(EVP_PKEY *key)
{
    if (key == NULL) {
        ERR_print_errors_fp(stderr);
        fail_msg("the key cannot be loaded");
    }
    assert_true(fixture_signs(ctx, key, public));
    assert_int_equal(EVP_PKEY_eq(key, public), 1);
    EVP_PKEY_free(key);
}

static void test_wrapped_uri_is_a_private_key(void **state)
{
    static const char *const names[] = { "rsa2048", "p256",    "p384",
                                         "p521",    "ed25519", "p256-cert" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *twins = fixture_public(names[i]), *key = NULL;
        char uri[128];
        struct der der;

        (void)snprintf(uri, sizeof(uri), FIXTURE_URI "%s", names[i]);
        wrap_good(&der, uri);
        key = read_der(&der);
        assert_non_null(key);
        assert_int_equal(EVP_PKEY_eq(key, twins), 1);
        assert_true(fixture_signs(ctx, key, twins));
        EVP_PKEY_free(key);
        EVP_PKEY_free(twins);
        fixture_assert_no_error();
    }
}

/* One URI with a length of one byte, of two, of three. */
static void test_length_of_the_uri_does_not_matter(void **state)
{
    static const size_t lengths[] = { 1, 100, 150, 300, 4000 };
    EVP_PKEY *key = fixture_key(ctx, "p256");

    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char uri[8192] = P256 "?pin-source=file:/";
        struct der der;

        /* No such file, and not read: the token is logged in to already. */
        memset(uri + strlen(uri), 'x', lengths[i]);
        wrap_good(&der, uri);
        assert_is_p256(read_der(&der));
    }
    EVP_PKEY_free(key);
}

/* Wherever in a file it stands. */
static void test_it_is_found_among_other_blocks(void **state)
{
    static const char *const before[] = { "",
                                          "a text that explains the file\n\n",
                                          "\xef\xbb\xbf# comment\n" };
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    for (size_t i = 0; i < 2 * COUNT(before); i++) {
        BIO *bio = BIO_new(BIO_s_mem()), *block = pem(LABEL, &der);
        X509 *cert = fixture_certificate("p256");
        char *text = NULL;
        long len = BIO_get_mem_data(block, &text);

        BIO_puts(bio, before[i / 2]);
        if (i % 2 == 1) {
            assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
            assert_int_equal(PEM_write_bio_PUBKEY(bio, public), 1);
        }
        assert_int_equal(BIO_write(bio, text, (int)len), len);
        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        assert_is_p256(read_key(bio));
        BIO_free(block);
        X509_free(cert);
    }
}

static void test_line_ends_may_be_crlf(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem()), *block = NULL;
    struct der der;
    char *text = NULL;
    long len = 0;

    (void)state;
    wrap_good(&der, P256);
    block = pem(LABEL, &der);
    len = BIO_get_mem_data(block, &text);
    for (long i = 0; i < len; i++) {
        if (text[i] == '\n')
            BIO_puts(bio, "\r");
        BIO_write(bio, text + i, 1);
    }
    assert_is_p256(read_key(bio));
    BIO_free(block);
}

/* Programs that go through OSSL_STORE open files too, with "file:" or not. */
static void test_file_is_opened_by_the_store(void **state)
{
    static const int expectations[] = { 0, OSSL_STORE_INFO_PKEY };
    char path[256], *text = NULL;
    struct der der;
    BIO *block = NULL;

    (void)state;
    wrap_good(&der, P256);
    block = pem(LABEL, &der);
    BIO_write(block, "", 1);
    (void)BIO_get_mem_data(block, &text);
    fixture_write(path, "key.pem", text);
    for (size_t i = 0; i < COUNT(expectations); i++) {
        OSSL_STORE_CTX *store =
            OSSL_STORE_open_ex(path, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
        OSSL_STORE_INFO *info = NULL;

        assert_non_null(store);
        assert_int_equal(OSSL_STORE_expect(store, expectations[i]), 1);
        info = OSSL_STORE_load(store);
        assert_non_null(info);
        assert_is_p256(OSSL_STORE_INFO_get1_PKEY(info));
        OSSL_STORE_INFO_free(info);
        OSSL_STORE_close(store);
    }
    BIO_free(block);
    fixture_assert_no_error();
}

static void test_decoder_of_the_wrong_type_finds_nothing(void **state)
{
    static const struct {
        const char *type;
        bool found;
    } rows[] = {
        { "EC", true }, { "RSA", false }, { "ED25519", false }, { NULL, true }
    };
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *key = NULL;
        OSSL_DECODER_CTX *dctx = OSSL_DECODER_CTX_new_for_pkey(
            &key, "PEM", NULL, rows[i].type, EVP_PKEY_KEYPAIR, ctx, NULL);
        BIO *bio = pem(LABEL, &der);

        assert_non_null(dctx);
        assert_int_equal(OSSL_DECODER_from_bio(dctx, bio), rows[i].found);
        assert_int_equal(key != NULL, rows[i].found);
        EVP_PKEY_free(key);
        OSSL_DECODER_CTX_free(dctx);
        BIO_free(bio);
        ERR_clear_error();
    }
}

/* What the loader says is what the program shows; libcrypto adds its own. */
static void test_reason_of_the_loader_reaches_the_caller(void **state)
{
    static const struct {
        const char *uri, *reason;
    } rows[] = {
        { FIXTURE_URI "nope", "no private key matches the URI" },
        { "pkcs11:token=nope;object=p256", "no token matches the URI" },
        { FIXTURE_URI "twin", "several private keys match the URI" },
        { "pkcs11:tokn=demo;object=p256", "the pkcs11: URI is not valid" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct der der;

        wrap_good(&der, rows[i].uri);
        assert_null(read_der(&der));
        fixture_assert_error(1, rows[i].reason, NULL);
    }
}

/* What a block is, to who reads a private key and to who reads a public one. */
static const struct {
    const char *end;
    bool private, public;
} types[] = {
    { "", true, true },
    { ";type=private", true, false },
    { ";type=public", false, true },
    { ";type=cert", false, false },
};

static void test_type_says_to_whom_the_block_is_a_key(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "p521", "ed25519" };

    (void)state;
    for (size_t i = 0; i < COUNT(names) * COUNT(types); i++) {
        const char *name = names[i / COUNT(types)];
        EVP_PKEY *twins = fixture_public(name), *keys[2];
        const bool found[] = { types[i % COUNT(types)].private,
                               types[i % COUNT(types)].public };
        char uri[128];
        struct der der;

        (void)snprintf(uri, sizeof(uri), FIXTURE_URI "%s%s", name,
                       types[i % COUNT(types)].end);
        wrap_good(&der, uri);
        for (int n = 0; n < 2; n++) {
            BIO *bio = pem(LABEL, &der);

            keys[n] = n == 0 ? PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL,
                                                          ctx, NULL)
                             : PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL,
                                                      ctx, NULL);
            BIO_free(bio);
            if ((keys[n] != NULL) != found[n])
                fail_msg("%s, %d", uri, n);
            if (found[n]) {
                assert_int_equal(EVP_PKEY_eq(keys[n], twins), 1);
                assert_true(fixture_signs(ctx, keys[n], twins) == (n == 0));
            }
            EVP_PKEY_free(keys[n]);
            ERR_clear_error();
        }
        EVP_PKEY_free(twins);
    }
}

/* Or the token would be asked, and say that it is not there. */
static void test_block_for_others_is_passed_over(void **state)
{
    static const char *const uris[] = {
        "pkcs11:token=nope;object=p256;type=public",
        "pkcs11:token=nope;object=p256;type=cert",
    };
    struct fixture_errors errors;
    struct der der, good;

    (void)state;
    wrap_good(&good, P256);
    for (size_t i = 0; i < COUNT(uris); i++) {
        BIO *bio = NULL;

        wrap_good(&der, uris[i]);
        assert_null(read_der(&der));
        fixture_take_errors("hsmsign", &errors);
        assert_int_equal(errors.ours, 0);
        bio = pem(LABEL, &der);
        assert_true(PEM_write_bio(bio, LABEL, "", good.bytes, (long)good.len) >
                    0);
        assert_is_p256(read_key(bio));
        ERR_clear_error();
    }
}

/* As haproxy, apache and openssl keep them: all in one file. */
static void test_store_finds_each_kind_in_one_file(void **state)
{
    static const char *const uris[] = { P256, P256 ";type=public",
                                        "pkcs11:token=demo;object=other;"
                                        "type=cert" };
    static const struct {
        int expect;
        const char *letters;
    } rows[] = { { 0, "ckpc" },
                 { OSSL_STORE_INFO_PKEY, "k" },
                 { OSSL_STORE_INFO_PUBKEY, "pp" },
                 { OSSL_STORE_INFO_CERT, "cc" } };
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *cert = fixture_certificate("p256");
    char path[256], *text = NULL;

    (void)state;
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    for (size_t i = 0; i < COUNT(uris); i++) {
        struct der der;

        wrap_good(&der, uris[i]);
        assert_true(PEM_write_bio(bio, LABEL, "", der.bytes, (long)der.len) >
                    0);
    }
    BIO_write(bio, "", 1);
    (void)BIO_get_mem_data(bio, &text);
    fixture_write(path, "all.pem", text);
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_STORE_CTX *store =
            OSSL_STORE_open_ex(path, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
        char letters[8] = "";
        size_t n = 0;

        assert_int_equal(OSSL_STORE_expect(store, rows[i].expect), 1);
        while (!OSSL_STORE_eof(store) && n < sizeof(letters) - 1) {
            OSSL_STORE_INFO *info = OSSL_STORE_load(store);
            int type = info != NULL ? OSSL_STORE_INFO_get_type(info) : 0;

            if (type != 0)
                letters[n++] = type == OSSL_STORE_INFO_CERT   ? 'c'
                               : type == OSSL_STORE_INFO_PKEY ? 'k'
                                                              : 'p';
            OSSL_STORE_INFO_free(info);
        }
        assert_string_equal(letters, rows[i].letters);
        OSSL_STORE_close(store);
        ERR_clear_error();
    }
    X509_free(cert);
    BIO_free(bio);
}

static void test_certificate_that_is_not_there_is_one_reason(void **state)
{
    char path[256], *text = NULL;
    struct der der;
    BIO *bio = NULL;
    OSSL_STORE_CTX *store = NULL;

    (void)state;
    wrap_good(&der, FIXTURE_URI "nope;type=cert");
    bio = pem(LABEL, &der);
    BIO_write(bio, "", 1);
    (void)BIO_get_mem_data(bio, &text);
    fixture_write(path, "nope.pem", text);
    store = OSSL_STORE_open_ex(path, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    assert_non_null(store);
    assert_null(OSSL_STORE_load(store));
    fixture_assert_error(1, "no object matches the URI", "no certificate",
                         "object=nope", NULL);
    OSSL_STORE_close(store);
    BIO_free(bio);
}

/* Under another label it is not ours. */
static void test_other_labels_are_left_alone(void **state)
{
    static const char *const labels[] = { LABEL " ", "PRIVATE KEY" };
    struct der der;

    (void)state;
    wrap_good(&der, P256);
    for (size_t i = 0; i < COUNT(labels); i++) {
        assert_null(read_key(pem(labels[i], &der)));
        ERR_clear_error();
    }
}

static void test_software_keys_are_read_as_before(void **state)
{
    static const char *const names[] = { "rsa2048", "p256", "ed25519" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *twin = fixture_twin(names[i]), *key = NULL;
        BIO *bio = BIO_new(BIO_s_mem());

        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, twin,
                                                       EVP_aes_128_cbc(),
                                                       "secret", 6, NULL, NULL),
                         1);
        key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, "secret", ctx, NULL);
        assert_non_null(key);
        assert_int_equal(EVP_PKEY_eq(key, twin), 1);
        assert_true(fixture_signs(ctx, key, twin));
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
        BIO_free(bio);
    }
    fixture_assert_no_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrapped_uri_is_a_private_key),
        cmocka_unit_test(test_length_of_the_uri_does_not_matter),
        cmocka_unit_test(test_it_is_found_among_other_blocks),
        cmocka_unit_test(test_line_ends_may_be_crlf),
        cmocka_unit_test(test_file_is_opened_by_the_store),
        cmocka_unit_test(test_decoder_of_the_wrong_type_finds_nothing),
        cmocka_unit_test(test_reason_of_the_loader_reaches_the_caller),
        cmocka_unit_test(test_type_says_to_whom_the_block_is_a_key),
        cmocka_unit_test(test_block_for_others_is_passed_over),
        cmocka_unit_test(test_store_finds_each_kind_in_one_file),
        cmocka_unit_test(test_certificate_that_is_not_there_is_one_reason),
        cmocka_unit_test(test_other_labels_are_left_alone),
        cmocka_unit_test(test_software_keys_are_read_as_before),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/decoder", tests, setup,
                                       teardown);
}
