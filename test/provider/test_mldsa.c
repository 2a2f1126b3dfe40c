/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ML-DSA-44, -65 and -87 (FIPS 204) with keys on the fake token: each way to
 * sign that libcrypto has, each verified by the default provider alone, and
 * what else a key is asked for.  Skipped where libcrypto has no ML-DSA.
 */
#include "mldsa_fixture.h"
#include <dlfcn.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static struct fake *fake;
static OSSL_LIB_CTX *ctx;
static unsigned char sig[FIXTURE_SIGNATURE_MAX];

static int setup(void **state)
{
    (void)state;
    fake = mldsa_fixture(MLDSA_VALUE);
    ctx = fake_context("hsmsign-verify = on\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static void assert_two_calls(void)
{
    char calls[4096];

    assert_string_equal(fake_calls(fake, calls, sizeof(calls)),
                        "C_SignInit C_Sign");
    fake_calls_reset(fake);
}

static void assert_verifies(size_t i, size_t len)
{
    assert_int_equal(len, mldsa_sets[i].signature);
    assert_true(fixture_verify(mldsa_twin(i), NULL, sig, len));
    fixture_assert_no_error();
}

static void test_message_is_signed_in_two_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);

        fake_calls_reset(fake);
        for (int n = 0; n < 2; n++) {
            assert_verifies(i, fixture_sign(ctx, key, NULL, sig));
            assert_false(mldsa_parameter.present);
            assert_two_calls();
        }
        EVP_PKEY_free(key);
    }
}

/* As Ed25519 does: what is given is the message. */
static void test_evp_pkey_sign_takes_the_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
        size_t len = 0;

        fake_calls_reset(fake);
        assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
        assert_int_equal(EVP_PKEY_sign(pctx, NULL, &len, fixture_message,
                                       fixture_message_len),
                         1);
        assert_int_equal(len, mldsa_sets[i].signature);
        assert_int_equal(fake_count(fake, NULL), 0);
        len--;
        assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, fixture_message,
                                       fixture_message_len),
                         0);
        ERR_clear_error();
        len = sizeof(sig);
        assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, fixture_message,
                                       fixture_message_len),
                         1);
        assert_verifies(i, len);
        assert_two_calls();
        EVP_PKEY_CTX_free(pctx);
        EVP_PKEY_free(key);
    }
}

typedef int message_init(EVP_PKEY_CTX *, EVP_SIGNATURE *, const OSSL_PARAM *);

static message_init *look_up(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    message_init *function = NULL;

    assert_non_null(symbol);
    memcpy(&function, &symbol, sizeof(function));
    return function;
}

/* EVP_PKEY_sign_message_init() and its like, by names the default has too. */
static void test_message_is_signed_by_the_algorithms_names(void **state)
{
    static const char *const names[MLDSA_SETS][4] = {
        { "ML-DSA-44", "MLDSA44", "id-ml-dsa-44", "2.16.840.1.101.3.4.3.17" },
        { "ML-DSA-65", "MLDSA65", "id-ml-dsa-65", "2.16.840.1.101.3.4.3.18" },
        { "ML-DSA-87", "MLDSA87", "id-ml-dsa-87", "2.16.840.1.101.3.4.3.19" },
    };
    message_init *sign_init = look_up("EVP_PKEY_sign_message_init");
    message_init *verify_init = look_up("EVP_PKEY_verify_message_init");

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);

        fake_calls_reset(fake);
        for (size_t n = 0; n < 4; n++) {
            EVP_SIGNATURE *alg =
                EVP_SIGNATURE_fetch(ctx, names[i][n], "provider=hsmsign");
            EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
            size_t len = sizeof(sig);

            assert_non_null(alg);
            assert_int_equal(sign_init(pctx, alg, NULL), 1);
            assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, fixture_message,
                                           fixture_message_len),
                             1);
            assert_verifies(i, len);
            assert_two_calls();
            assert_int_equal(verify_init(pctx, alg, NULL), 1);
            assert_int_equal(EVP_PKEY_verify(pctx, sig, len, fixture_message,
                                             fixture_message_len),
                             1);
            sig[0] ^= 1;
            assert_int_not_equal(EVP_PKEY_verify(pctx, sig, len,
                                                 fixture_message,
                                                 fixture_message_len),
                                 1);
            ERR_clear_error();
            EVP_PKEY_CTX_free(pctx);
            EVP_SIGNATURE_free(alg);
        }
        EVP_PKEY_free(key);
    }
}

static void test_empty_and_long_messages_are_signed(void **state)
{
    static unsigned char message[100000];
    static const size_t lengths[] = { 0, 1, sizeof(message) };

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);

        for (size_t n = 0; n < COUNT(lengths); n++) {
            EVP_MD_CTX *mctx = EVP_MD_CTX_new();
            size_t len = mldsa_sign(ctx, key, NULL, 0, 0, message, lengths[n],
                                    sig, sizeof(sig));

            assert_int_equal(len, mldsa_sets[i].signature);
            assert_int_equal(EVP_DigestVerifyInit_ex(mctx, NULL, NULL,
                                                     fixture_software(), NULL,
                                                     mldsa_twin(i), NULL),
                             1);
            assert_int_equal(
                EVP_DigestVerify(mctx, sig, len, message, lengths[n]), 1);
            EVP_MD_CTX_free(mctx);
        }
        EVP_PKEY_free(key);
    }
}

/* The key itself verifies, by another provider. */
static void test_key_verifies_what_it_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);
        size_t len = fixture_sign(ctx, key, NULL, sig);
        EVP_MD_CTX *mctx = EVP_MD_CTX_new();

        assert_int_equal(
            EVP_DigestVerifyInit_ex(mctx, NULL, NULL, ctx, NULL, key, NULL), 1);
        assert_int_equal(EVP_DigestVerify(mctx, sig, len, fixture_message,
                                          fixture_message_len),
                         1);
        EVP_MD_CTX_free(mctx);
        EVP_PKEY_free(key);
    }
}

static size_t algorithm_id(OSSL_LIB_CTX *libctx, EVP_PKEY *key,
                           unsigned char der[64])
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(
                                OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der, 64),
                            OSSL_PARAM_construct_end() };

    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, NULL, libctx, NULL, key, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_get_params(pctx, params), 1);
    EVP_MD_CTX_free(mctx);
    return params[0].return_size;
}

/* RFC 9881: and with no parameters, what RFC 9882 puts into CMS too. */
static void test_algorithm_identifier_is_the_twins(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);
        unsigned char ours[64], theirs[64];
        size_t len = algorithm_id(ctx, key, ours);

        assert_int_equal(len, 13);
        assert_int_equal(
            algorithm_id(fixture_software(), mldsa_twin(i), theirs), len);
        assert_memory_equal(ours, theirs, len);
        EVP_PKEY_free(key);
    }
}

static void assert_is_twin(EVP_PKEY *key, size_t i)
{
    EVP_PKEY *twin = mldsa_twin(i);
    char name[32] = "";

    assert_true(EVP_PKEY_is_a(key, mldsa_sets[i].name));
    assert_string_equal(EVP_PKEY_get0_type_name(key), mldsa_sets[i].name);
    assert_int_equal(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(twin));
    assert_int_equal(EVP_PKEY_get_security_bits(key),
                     EVP_PKEY_get_security_bits(twin));
    assert_int_equal(EVP_PKEY_get_size(key), EVP_PKEY_get_size(twin));
    assert_int_equal(EVP_PKEY_get_default_digest_name(key, name, sizeof(name)),
                     2);
    assert_string_equal(name, "UNDEF");
}

static void test_sizes_are_the_twins_with_and_without_public_half(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        OSSL_LIB_CTX_free(ctx);
        fake = mldsa_fixture(known ? MLDSA_VALUE : MLDSA_NOWHERE);
        ctx = fake_context("");
        for (size_t i = 0; i < MLDSA_SETS; i++) {
            EVP_PKEY *key = mldsa_key(ctx, i);

            assert_is_twin(key, i);
            assert_int_equal(EVP_PKEY_get_size(key), mldsa_sets[i].signature);
            fixture_assert_no_error();
            EVP_PKEY_free(key);
        }
    }
}

static void test_public_half_is_the_twins_in_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i), *dup = EVP_PKEY_dup(key);
        EVP_PKEY *other = mldsa_key(ctx, (i + 1) % MLDSA_SETS);
        EVP_PKEY *twin = EVP_PKEY_dup(mldsa_twin(i));
        unsigned char *ours = NULL, *theirs = NULL;
        int len = i2d_PUBKEY(key, &ours);

        assert_true(len > 0);
        assert_int_equal(i2d_PUBKEY(twin, &theirs), len);
        assert_memory_equal(ours, theirs, (size_t)len);
        assert_int_equal(EVP_PKEY_eq(key, twin), 1);
        assert_int_equal(EVP_PKEY_eq(twin, key), 1);
        assert_int_not_equal(EVP_PKEY_eq(key, other), 1);
        ERR_clear_error();
        assert_non_null(dup);
        assert_int_equal(EVP_PKEY_eq(key, dup), 1);
        assert_verifies(i, fixture_sign(ctx, dup, NULL, sig));
        OPENSSL_free(ours);
        OPENSSL_free(theirs);
        EVP_PKEY_free(other);
        EVP_PKEY_free(twin);
        EVP_PKEY_free(dup);
        EVP_PKEY_free(key);
    }
}

/* A software private key is none of ours. */
static void test_private_parts_go_neither_in_nor_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);
        unsigned char private[8192];
        size_t len = sizeof(private);
        EVP_PKEY *twin = EVP_PKEY_dup(mldsa_twin(i));
        EVP_PKEY_CTX *pctx =
            EVP_PKEY_CTX_new_from_pkey(ctx, twin, "provider=hsmsign");

        assert_int_equal(EVP_PKEY_get_raw_private_key(key, private, &len), 0);
        assert_true(pctx == NULL || EVP_PKEY_sign_init(pctx) <= 0);
        ERR_clear_error();
        EVP_PKEY_CTX_free(pctx);
        EVP_PKEY_free(twin);
        EVP_PKEY_free(key);
    }
}

static void test_key_is_written_as_its_uri_and_read_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i), *again = NULL;
        BIO *bio = BIO_new(BIO_s_mem()), *text = BIO_new(BIO_s_mem());
        char expected[200], *data = NULL;

        assert_int_equal(
            PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
        assert_non_null(again);
        assert_is_twin(again, i);
        assert_verifies(i, fixture_sign(ctx, again, NULL, sig));
        assert_int_equal(EVP_PKEY_print_private(text, key, 0, NULL), 1);
        assert_int_equal(BIO_write(text, "", 1), 1);
        assert_true(BIO_get_mem_data(text, &data) > 0);
        (void)snprintf(expected, sizeof(expected),
                       "PKCS#11 Private-Key: (%s, %d bit)\nURI: pkcs11:",
                       mldsa_sets[i].name, EVP_PKEY_get_bits(key));
        assert_non_null(strstr(data, expected));
        (void)snprintf(expected, sizeof(expected),
                       "%s Public-Key:", mldsa_sets[i].name);
        assert_non_null(strstr(data, expected));
        EVP_PKEY_free(again);
        EVP_PKEY_free(key);
        BIO_free(text);
        BIO_free(bio);
    }
}

static X509 *read_certificate(OSSL_LIB_CTX *libctx, const unsigned char *der,
                              int len)
{
    X509 *cert = X509_new_ex(libctx, NULL);

    assert_non_null(d2i_X509(&cert, &der, len));
    return cert;
}

/* An X.509 certificate of the key, by the key; verified without us.  DER. */
static int make_certificate(EVP_PKEY *key, size_t i, unsigned char **der)
{
    X509 *cert = X509_new_ex(ctx, NULL), *read = NULL;
    X509_NAME *name = X509_NAME_new();
    static const unsigned char cn[] = "key";
    int len;

    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, cn, -1, -1, 0),
        1);
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    X509_NAME_free(name);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, NULL) > 0);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    *der = NULL;
    len = i2d_X509(cert, der);
    assert_true(len > 0);
    read = read_certificate(fixture_software(), *der, len);
    assert_int_equal(X509_verify(read, mldsa_twin(i)), 1);
    X509_free(read);
    X509_free(cert);
    return len;
}

static void test_certificates_and_requests_are_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);
        X509_REQ *req = X509_REQ_new_ex(ctx, NULL);
        unsigned char *der = NULL;

        (void)make_certificate(key, i, &der);
        assert_int_equal(X509_REQ_set_version(req, X509_REQ_VERSION_1), 1);
        assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
        assert_true(X509_REQ_sign(req, key, NULL) > 0);
        assert_int_equal(
            X509_REQ_verify_ex(req, mldsa_twin(i), fixture_software(), NULL),
            1);
        fixture_assert_no_error();
        OPENSSL_free(der);
        X509_REQ_free(req);
        EVP_PKEY_free(key);
    }
}

/* As openssl cms -sign -md sha512 does; RFC 9882, 3.3. */
static void sign_cms(EVP_PKEY *key, X509 *cert)
{
    const unsigned flags = CMS_BINARY | CMS_DETACHED;
    BIO *in = BIO_new_mem_buf(fixture_message, -1);
    CMS_ContentInfo *cms =
        CMS_sign_ex(NULL, NULL, NULL, in, flags | CMS_PARTIAL, ctx, NULL);

    assert_non_null(cms);
    assert_non_null(CMS_add1_signer(cms, cert, key, EVP_sha512(), flags));
    assert_int_equal(CMS_final(cms, in, NULL, flags), 1);
    (void)BIO_reset(in);
    assert_int_equal(CMS_verify(cms, NULL, NULL, in, NULL,
                                flags | CMS_NO_SIGNER_CERT_VERIFY),
                     1);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
}

static void test_cms_is_signed_with_and_without_public_half(void **state)
{
    static const enum mldsa_public where[] = { MLDSA_VALUE, MLDSA_NOWHERE };
    unsigned char *der[MLDSA_SETS];
    int len[MLDSA_SETS];

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);

        len[i] = make_certificate(key, i, &der[i]);
        EVP_PKEY_free(key);
    }
    for (size_t n = 0; n < COUNT(where); n++) {
        OSSL_LIB_CTX_free(ctx);
        fake = mldsa_fixture(where[n]);
        ctx = fake_context("");
        for (size_t i = 0; i < MLDSA_SETS; i++) {
            EVP_PKEY *key = mldsa_key(ctx, i);
            X509 *cert = read_certificate(ctx, der[i], len[i]);
            X509 *other = read_certificate(ctx, der[(i + 1) % MLDSA_SETS],
                                           len[(i + 1) % MLDSA_SETS]);

            assert_int_equal(X509_check_private_key(other, key), 0);
            ERR_clear_error();
            sign_cms(key, cert);
            fixture_assert_no_error();
            X509_free(other);
            X509_free(cert);
            EVP_PKEY_free(key);
        }
    }
    for (size_t i = 0; i < MLDSA_SETS; i++)
        OPENSSL_free(der[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_message_is_signed_in_two_calls),
        TEST(test_evp_pkey_sign_takes_the_message),
        TEST(test_message_is_signed_by_the_algorithms_names),
        TEST(test_empty_and_long_messages_are_signed),
        TEST(test_key_verifies_what_it_signed),
        TEST(test_algorithm_identifier_is_the_twins),
        TEST(test_sizes_are_the_twins_with_and_without_public_half),
        TEST(test_public_half_is_the_twins_in_every_form),
        TEST(test_private_parts_go_neither_in_nor_out),
        TEST(test_key_is_written_as_its_uri_and_read_again),
        TEST(test_certificates_and_requests_are_signed),
        TEST(test_cms_is_signed_with_and_without_public_half),
    };

    if (!fixture_is_openssl(3, 5))
        return fixture_skip(tests, COUNT(tests),
                            "this libcrypto has no ML-DSA: 3.5 and newer do");
    fixture_begin();
    return cmocka_run_group_tests_name("provider/mldsa", tests, NULL, NULL);
}
