/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys for RSA-PSS alone, by the token or by their public key: presented as
 * that type, and bound to its limits, as the default provider presents and
 * binds a software key of the same public key.
 */
#include "fake_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

/* What a public key can be limited to; md NULL: nothing. */
static const struct limits {
    const char *md, *mgf1;
    int salt;
} limits[] = {
    { NULL, NULL, 0 },
    { "SHA1", "SHA1", 20 }, /* all of them DER's default */
    { "SHA256", "SHA256", 32 },
    { "SHA512", "SHA512", 0 },
    { "SHA384", "SHA1", 100 },
};

/* A type RSA-PSS of rsa2048's numbers; selection says how much of it. */
static EVP_PKEY *limited(const struct limits *limit, int selection)
{
    EVP_PKEY *plain = fixture_twin("rsa2048"), *pkey = NULL;
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_name(fixture_software(), "RSA-PSS", NULL);
    OSSL_PARAM *numbers = NULL, *all = NULL;
    OSSL_PARAM extra[4], *p = extra;
    int salt = limit->salt;

    assert_int_equal(EVP_PKEY_todata(plain, selection, &numbers), 1);
    if (limit->md != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST,
                                                (char *)limit->md, 0);
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST,
                                                (char *)limit->mgf1, 0);
        *p++ = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt);
    }
    *p = OSSL_PARAM_construct_end();
    all = OSSL_PARAM_merge(numbers, extra);
    assert_int_equal(EVP_PKEY_fromdata_init(pctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(pctx, &pkey, selection, all), 1);
    OSSL_PARAM_free(numbers);
    OPENSSL_free(all);
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(plain);
    return pkey;
}

/* "hsmsign-public-file = ..." for a file that holds it. */
static const char *public_file(EVP_PKEY *pkey, char option[400])
{
    BIO *bio = BIO_new(BIO_s_mem());
    char path[256], *pem = NULL;

    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    assert_true(BIO_write(bio, "", 1) == 1);
    (void)BIO_get_mem_data(bio, &pem);
    fixture_write(path, "public.pem", pem);
    (void)snprintf(option, 400, FIXTURE_PIN "hsmsign-public-file = %s\n", path);
    BIO_free(bio);
    return option;
}

static void assert_same_facts(EVP_PKEY *key, EVP_PKEY *twin)
{
    unsigned char *der = NULL, *expected = NULL;
    char md[32] = "", twins[32] = "";
    int len = i2d_PUBKEY(twin, &expected);

    assert_true(EVP_PKEY_is_a(key, "RSA-PSS"));
    assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(twin));
    assert_int_equal(EVP_PKEY_get_bits(key), 2048);
    assert_int_equal(EVP_PKEY_get_security_bits(key), 112);
    assert_int_equal(EVP_PKEY_get_size(key), 256);
    assert_int_equal(
        EVP_PKEY_get_default_digest_name(key, md, sizeof(md)),
        EVP_PKEY_get_default_digest_name(twin, twins, sizeof(twins)));
    assert_string_equal(md, twins);
    assert_int_equal(EVP_PKEY_eq(key, twin), 1);
    assert_int_equal(EVP_PKEY_eq(twin, key), 1);
    assert_int_equal(i2d_PUBKEY(key, &der), len);
    assert_memory_equal(der, expected, (size_t)len);
    OPENSSL_free(der);
    OPENSSL_free(expected);
}

/* How to sign: NULL leaves it as it is. */
struct way {
    const char *md, *pad, *mgf1, *salt;
};

struct outcome {
    bool signs;
    size_t aid_len, len;
    unsigned char aid[128], sig[FIXTURE_SIGNATURE_MAX];
};

static bool set_way(EVP_PKEY_CTX *pctx, const struct way *way)
{
    const struct {
        const char *name, *value;
    } texts[] = { { "rsa_padding_mode", way->pad },
                  { "rsa_mgf1_md", way->mgf1 },
                  { "rsa_pss_saltlen", way->salt } };

    for (size_t i = 0; i < COUNT(texts); i++) {
        if (texts[i].value != NULL &&
            EVP_PKEY_CTX_ctrl_str(pctx, texts[i].name, texts[i].value) <= 0)
            return false;
    }
    return true;
}

static void sign(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const struct way *way,
                 struct outcome *out)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    OSSL_PARAM aid[] = { OSSL_PARAM_construct_octet_string(
                             OSSL_SIGNATURE_PARAM_ALGORITHM_ID, out->aid,
                             sizeof(out->aid)),
                         OSSL_PARAM_construct_end() };

    out->len = sizeof(out->sig);
    out->signs = EVP_DigestSignInit_ex(mctx, &pctx, way->md, libctx, NULL, key,
                                       NULL) > 0 &&
                 set_way(pctx, way) && EVP_PKEY_CTX_get_params(pctx, aid) > 0 &&
                 EVP_DigestSign(mctx, out->sig, &out->len, fixture_message,
                                fixture_message_len) > 0;
    out->aid_len = out->signs ? aid[0].return_size : 0;
    EVP_MD_CTX_free(mctx);
    ERR_clear_error();
}

static bool verify(EVP_PKEY *twin, const struct way *way,
                   const struct outcome *out)
{
    struct way verifying = *way;
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = false;

    /* Not for verification with a limited key. */
    if (way->salt != NULL && strcmp(way->salt, "auto") == 0)
        verifying.salt = "max";
    ok = EVP_DigestVerifyInit_ex(mctx, &pctx, way->md, fixture_software(), NULL,
                                 twin, NULL) > 0 &&
         set_way(pctx, &verifying) &&
         EVP_DigestVerify(mctx, out->sig, out->len, fixture_message,
                          fixture_message_len) == 1;
    EVP_MD_CTX_free(mctx);
    return ok;
}

static void assert_same_outcome(OSSL_LIB_CTX *ctx, EVP_PKEY *key,
                                EVP_PKEY *twin, const struct way *way)
{
    struct outcome ours, theirs;

    sign(ctx, key, way, &ours);
    sign(fixture_software(), twin, way, &theirs);
    /* May a limited key sign with it?  3.0 says yes, 3.5 no: the maximum. */
    if (ours.signs && !theirs.signs && way->salt != NULL &&
        strcmp(way->salt, "auto") == 0) {
        assert_true(verify(twin, way, &ours));
        return;
    }
    if (ours.signs != theirs.signs)
        fail_msg("digest %s, pad %s, mgf1 %s, salt %s: expected %d", way->md,
                 way->pad, way->mgf1, way->salt, theirs.signs);
    assert_int_equal(ours.aid_len, theirs.aid_len);
    assert_memory_equal(ours.aid, theirs.aid, ours.aid_len);
    assert_true(!ours.signs || verify(twin, way, &ours));
}

/* All that can be asked for: the same is done, and the same is refused. */
static void assert_same_in_every_way(OSSL_LIB_CTX *ctx, EVP_PKEY *key,
                                     EVP_PKEY *twin)
{
    static const char *const mds[] = { NULL, "SHA1", "SHA256", "SHA512" };
    static const char *const pads[] = { NULL, "pss", "pkcs1", "none" };
    static const char *const mgf1s[] = { NULL, "SHA1", "SHA256" };
    static const char *const salts[] = { NULL,  "0",   "31",     "32",  "100",
                                         "191", "max", "digest", "auto" };
    const size_t n = COUNT(mds) * COUNT(pads) * COUNT(mgf1s) * COUNT(salts);

    for (size_t i = 0; i < n; i++) {
        size_t rest = i;
        struct way way;

        way.md = mds[rest % COUNT(mds)];
        rest /= COUNT(mds);
        way.pad = pads[rest % COUNT(pads)];
        rest /= COUNT(pads);
        way.mgf1 = mgf1s[rest % COUNT(mgf1s)];
        way.salt = salts[rest / COUNT(mgf1s)];
        assert_same_outcome(ctx, key, twin, &way);
    }
}

static void test_public_file_makes_it_a_key_with_its_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        EVP_PKEY *twin = limited(&limits[i], EVP_PKEY_KEYPAIR);
        char option[400];
        OSSL_LIB_CTX *ctx = fixture_softhsm(public_file(twin, option));
        EVP_PKEY *key = fixture_key(ctx, "rsa2048");

        assert_same_facts(key, twin);
        fixture_assert_no_error();
        assert_same_in_every_way(ctx, key, twin);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* It says what the key is, to whoever has a PKCS #1 certificate for it too. */
static void test_refusal_says_what_the_key_allows(void **state)
{
    EVP_PKEY *twin = limited(&limits[2], EVP_PKEY_KEYPAIR);
    char option[400];
    OSSL_LIB_CTX *ctx = fixture_softhsm(public_file(twin, option));
    EVP_PKEY *key = fixture_key(ctx, "rsa2048");
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = sizeof(sig);

    (void)state;
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA512", ctx, NULL, key, NULL), 0);
    fixture_assert_error(0, "the key cannot sign this digest or length",
                         "SHA2-256", "SHA2-512", "rsa2048", NULL);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, &pctx, NULL, ctx, NULL, key, NULL), 1);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pkcs1") <= 0);
    fixture_assert_error(0, "a parameter is not taken", "pss", "certificate",
                         NULL);
    assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_pss_saltlen", "31") > 0);
    assert_int_equal(EVP_DigestSign(mctx, sig, &len, NULL, 0), 0);
    fixture_assert_error(0, "a parameter is not taken", "31", "32", NULL);
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(key);
    EVP_PKEY_free(twin);
    OSSL_LIB_CTX_free(ctx);
}

/* Another modulus: a key of somebody else. */
static void test_public_file_of_another_key_says_nothing(void **state)
{
    EVP_PKEY *twin = limited(&limits[2], EVP_PKEY_KEYPAIR);
    EVP_PKEY *public = fixture_public("rsa3072");
    char option[400];
    OSSL_LIB_CTX *ctx = fixture_softhsm(public_file(twin, option));
    EVP_PKEY *key = fixture_key(ctx, "rsa3072");

    (void)state;
    assert_true(EVP_PKEY_is_a(key, "RSA"));
    assert_true(fixture_signs(ctx, key, public));
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    EVP_PKEY_free(twin);
    OSSL_LIB_CTX_free(ctx);
}

/* The PEM file that names the key: it is read as the same type. */
static EVP_PKEY *written_and_read(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *again = NULL;

    assert_int_equal(
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
    assert_non_null(again);
    assert_true(EVP_PKEY_is_a(again, "RSA-PSS"));
    assert_int_equal(EVP_PKEY_eq(again, key), 1);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return again;
}

/* SoftHSM lets this one sign by CKM_RSA_PKCS_PSS and nothing else. */
static void test_key_that_the_token_limits_to_pss_signs(void **state)
{
    static const struct way ways[] = { { NULL, NULL, NULL, NULL },
                                       { "SHA384", "pss", NULL, "digest" } };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = fixture_key(ctx, "rsa-pss");
    EVP_PKEY *public = fixture_public("rsa-pss");
    struct outcome out;

    (void)state;
    assert_true(EVP_PKEY_is_a(key, "RSA-PSS"));
    key = written_and_read(ctx, key);
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct way pss = ways[i];

        sign(ctx, key, &ways[i], &out);
        assert_true(out.signs);
        pss.md = pss.md != NULL ? pss.md : "SHA256";
        pss.pad = "pss"; /* public is of the type RSA */
        assert_true(verify(public, &pss, &out));
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

static const CK_MECHANISM_TYPE pss[] = { CKM_RSA_PKCS_PSS,
                                         CKM_SHA256_RSA_PKCS_PSS };
static const CK_MECHANISM_TYPE both[] = { CKM_RSA_PKCS_PSS, CKM_RSA_PKCS };

static void set_on_private(struct fake *fake, CK_ATTRIBUTE_TYPE type,
                           const void *value, size_t len)
{
    for (size_t i = 0; i < FAKE_MAX_OBJECTS; i++) {
        const struct fake_object *object = &fake->objects[i];
        const CK_ATTRIBUTE *class =
            object->present ? fake_attribute(object, CKA_CLASS) : NULL;

        if (class != NULL &&
            *(CK_OBJECT_CLASS *)class->pValue == CKO_PRIVATE_KEY)
            fake_set_attribute(fake, i, type, value, len);
    }
}

static void test_allowed_mechanisms_decide_without_a_call(void **state)
{
    static const struct {
        const CK_MECHANISM_TYPE *allowed;
        size_t len;
        const char *option, *type;
    } rows[] = {
        { pss, sizeof(pss), "", "RSA-PSS" },
        { both, sizeof(both), "", "RSA" },
        { both + 1, sizeof(both[0]), "", "RSA" },
        { pss, 0, "", "RSA" },
        { pss, sizeof(pss), "pkcs11-module-quirks = no-allowed-mechanisms\n",
          "RSA" },
    };
    EVP_PKEY *public = fixture_public("rsa2048");

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake *fake = fake_fixture();
        OSSL_LIB_CTX *ctx = fake_context(rows[i].option);
        EVP_PKEY *key = NULL;
        struct outcome out;
        static const struct way way = { NULL, "pss", NULL, "digest" };

        set_on_private(fake, CKA_ALLOWED_MECHANISMS, rows[i].allowed,
                       rows[i].len);
        key = fake_key(ctx, "rsa2048");
        assert_true(EVP_PKEY_is_a(key, rows[i].type));
        assert_int_equal(fake_count(fake, "C_GetAttributeValue"), 1);
        assert_int_equal(fake_asked(fake, CKA_ALLOWED_MECHANISMS),
                         rows[i].option[0] == '\0');
        sign(ctx, key, &way, &out);
        assert_true(out.signs && verify(public, &way, &out));
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
    EVP_PKEY_free(public);
}

/* The exponent is guessed, and proved by a PSS signature. */
static void test_key_for_pss_alone_without_exponent_is_proved(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("");
    EVP_PKEY *twin = limited(&limits[0], EVP_PKEY_KEYPAIR), *key = NULL;
    struct fake_call call;

    (void)state;
    set_on_private(fake, CKA_ALLOWED_MECHANISMS, pss, sizeof(pss));
    set_on_private(fake, CKA_PUBLIC_EXPONENT, NULL, 0);
    key = fake_key(ctx, "rsa2048");
    assert_true(fake_call(fake, "C_SignInit", 0, &call));
    assert_int_equal(call.mechanism, CKM_RSA_PKCS_PSS);
    assert_same_facts(key, twin);
    EVP_PKEY_free(key);
    EVP_PKEY_free(twin);
    OSSL_LIB_CTX_free(ctx);
}

/* A certificate with rsaEncryption, whose key the token uses for PSS alone. */
static void test_public_file_outweighs_the_token(void **state)
{
    EVP_PKEY *plain = fixture_public("rsa2048"), *key = NULL;
    char option[400];
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context(strchr(public_file(plain, option), '\n') +
                                     1 /* PIN is there */);

    (void)state;
    set_on_private(fake, CKA_ALLOWED_MECHANISMS, pss, sizeof(pss));
    key = fake_key(ctx, "rsa2048");
    assert_true(EVP_PKEY_is_a(key, "RSA"));
    assert_int_equal(EVP_PKEY_eq(key, plain), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(plain);
    OSSL_LIB_CTX_free(ctx);
}

/* hsmsign-verify and hsmsign-spki-sha256, whose trial keeps to the limits. */
static void test_key_with_limits_is_verified_and_pinned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        EVP_PKEY *twin = limited(&limits[i], EVP_PKEY_PUBLIC_KEY);
        const struct way way = { limits[i].md != NULL ? limits[i].md : "SHA256",
                                 NULL, limits[i].mgf1, NULL };
        unsigned char *der = NULL, hash[EVP_MAX_MD_SIZE];
        char option[700];
        struct outcome out;
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;
        size_t len = (size_t)i2d_PUBKEY(twin, &der);

        assert_int_equal(EVP_Q_digest(fixture_software(), "SHA256", NULL, der,
                                      len, hash, &len),
                         1);
        public_file(twin, option);
        (void)strcat(option, "hsmsign-verify = on\nhsmsign-spki-sha256 = ");
        for (size_t j = 0; j < len; j++)
            (void)sprintf(option + strlen(option), "%02x", hash[j]);
        ctx = fixture_softhsm(strcat(option, "\n"));
        key = fixture_key(ctx, "rsa2048");
        sign(ctx, key, &way, &out);
        assert_true(out.signs);
        assert_true(verify(twin, &way, &out));
        OPENSSL_free(der);
        EVP_PKEY_free(key);
        EVP_PKEY_free(twin);
        OSSL_LIB_CTX_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_file_makes_it_a_key_with_its_limits),
        cmocka_unit_test(test_key_with_limits_is_verified_and_pinned),
        cmocka_unit_test(test_refusal_says_what_the_key_allows),
        cmocka_unit_test(test_public_file_of_another_key_says_nothing),
        cmocka_unit_test(test_key_that_the_token_limits_to_pss_signs),
        cmocka_unit_test(test_allowed_mechanisms_decide_without_a_call),
        cmocka_unit_test(test_key_for_pss_alone_without_exponent_is_proved),
        cmocka_unit_test(test_public_file_outweighs_the_token),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/rsa_pss", tests, NULL, NULL);
}
