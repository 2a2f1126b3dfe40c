/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ML-DSA keys: where the public half is found, and what of libcrypto's
 * parameters and of a vendor's numbers reaches the token.  Skipped where
 * libcrypto has no ML-DSA; see test_mldsa_refused.c for that.
 */
#include "mldsa_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

static struct fake *fake;
static OSSL_LIB_CTX *ctx;
static unsigned char sig[FIXTURE_SIGNATURE_MAX];

static void begin(enum mldsa_public where, const char *options)
{
    OSSL_LIB_CTX_free(ctx);
    fake = mldsa_fixture(where);
    ctx = fake_context(options);
}

static int setup(void **state)
{
    (void)state;
    begin(MLDSA_VALUE, "");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    ctx = NULL;
    return 0;
}

/* As many signatures as say whether the public half is the key's. */
static void assert_loads(size_t i, size_t trials, bool known)
{
    EVP_PKEY *key = NULL;
    unsigned char *ours = NULL, *theirs = NULL;
    int len;

    fake_calls_reset(fake);
    key = mldsa_key(ctx, i);
    fixture_assert_no_error();
    assert_int_equal(fake_count(fake, "C_Sign"), trials);
    assert_int_equal(fake_asked_private(fake), 0);
    len = i2d_PUBKEY(mldsa_twin(i), &theirs);
    assert_int_equal(i2d_PUBKEY(key, &ours), known ? len : -1);
    if (known)
        assert_memory_equal(ours, theirs, (size_t)len);
    ERR_clear_error();
    OPENSSL_free(ours);
    OPENSSL_free(theirs);
    EVP_PKEY_free(key);
}

static void test_public_half_is_found_and_proved_where_need_be(void **state)
{
    static const struct {
        enum mldsa_public where;
        size_t trials;
        bool known;
    } rows[] = {
        { MLDSA_VALUE, 0, true },
        { MLDSA_INFO, 0, true },
        { MLDSA_LABEL, 1, true },
        { MLDSA_NOWHERE, 0, false },
    };

    (void)state;
    for (size_t n = 0; n < COUNT(rows); n++) {
        begin(rows[n].where, "");
        for (size_t i = 0; i < MLDSA_SETS; i++)
            assert_loads(i, rows[n].trials, rows[n].known);
    }
}

static void test_public_half_is_found_in_the_configured_file(void **state)
{
    BIO *pem = BIO_new(BIO_s_mem());
    char path[256], options[400], *data = NULL;

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++)
        assert_int_equal(PEM_write_bio_PUBKEY(pem, mldsa_twin(i)), 1);
    assert_int_equal(BIO_write(pem, "", 1), 1);
    assert_true(BIO_get_mem_data(pem, &data) > 0);
    fixture_write(path, "public.pem", data);
    (void)snprintf(options, sizeof(options), "hsmsign-public-file = %s\n",
                   path);
    begin(MLDSA_NOWHERE, options);
    for (size_t i = 0; i < MLDSA_SETS; i++)
        assert_loads(i, 1, true);
    BIO_free(pem);
}

/* With the right CKA_ID or label, but of another key, set or length. */
static void test_what_is_no_public_half_of_the_key_is_passed_over(void **state)
{
    unsigned char value[2592] = { 1 };
    static const size_t lengths[] = { 1, 1311, 1313, 2592 };

    (void)state;
    for (size_t n = 0; n < COUNT(lengths); n++) {
        begin(MLDSA_VALUE, "");
        fake_set_attribute(fake, mldsa_pair(0).public_key, CKA_VALUE, value,
                           lengths[n]);
        assert_loads(0, 0, false);
    }
    begin(MLDSA_LABEL, "");
    fake_set_attribute(fake, mldsa_pair(0).public_key, CKA_VALUE, value, 1312);
    assert_loads(0, 1, false);
}

/* As openssl pkey -pubin: a public object by its URI, and in a list. */
static void test_public_objects_are_keys(void **state)
{
    OSSL_STORE_CTX *store = NULL;
    size_t private = 0, public = 0;

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        char uri[256];
        OSSL_STORE_INFO *info = NULL;

        (void)snprintf(uri, sizeof(uri), FAKE_URI "%s;type=public",
                       mldsa_sets[i].name);
        store =
            OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
        assert_non_null(store);
        info = OSSL_STORE_load(store);
        assert_non_null(info);
        assert_int_equal(OSSL_STORE_INFO_get_type(info),
                         OSSL_STORE_INFO_PUBKEY);
        assert_true(EVP_PKEY_is_a(OSSL_STORE_INFO_get0_PUBKEY(info),
                                  mldsa_sets[i].name));
        OSSL_STORE_INFO_free(info);
        OSSL_STORE_close(store);
    }
    store = OSSL_STORE_open_ex("pkcs11:token=fake", ctx, NULL, NULL, NULL, NULL,
                               NULL, NULL);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL) {
            private += OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY;
            public += OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PUBKEY;
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    /* The fixture's three, two of which have a public object, and these. */
    assert_int_equal(private, 3 + MLDSA_SETS);
    assert_int_equal(public, 2 + MLDSA_SETS);
    fixture_assert_no_error();
}

/* ---- parameters ---- */

static bool verifies(size_t i, const void *context, size_t context_len,
                     size_t len)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(
                                "context-string", (void *)context, context_len),
                            OSSL_PARAM_construct_end() };
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit_ex(mctx, NULL, NULL, fixture_software(),
                                      NULL, mldsa_twin(i), params) > 0 &&
              EVP_DigestVerify(mctx, sig, len, fixture_message,
                               fixture_message_len) == 1;

    EVP_MD_CTX_free(mctx);
    ERR_clear_error();
    return ok;
}

static void test_context_and_determinism_reach_the_token(void **state)
{
    static const unsigned char context[255] = "a context";
    static const size_t lengths[] = { 0, 1, 9, 255 };

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = mldsa_key(ctx, i);

        for (size_t n = 0; n < 2 * COUNT(lengths); n++) {
            size_t context_len = lengths[n / 2], len;
            bool deterministic = n % 2 != 0;

            /* The key is found again, and its signature checked. */
            fake_lose(fake, FAKE_HANDLES);
            len = mldsa_sign(ctx, key, context, context_len, deterministic,
                             fixture_message, fixture_message_len, sig,
                             sizeof(sig));
            assert_int_equal(len, mldsa_sets[i].signature);
            assert_true(verifies(i, context, context_len, len));
            assert_false(verifies(i, context, 2, len));
            assert_int_equal(mldsa_parameter.present,
                             context_len != 0 || deterministic);
            assert_int_equal(mldsa_parameter.hedge,
                             deterministic ? CKH_DETERMINISTIC_REQUIRED
                                           : CKH_HEDGE_PREFERRED);
            assert_int_equal(mldsa_parameter.context_len, context_len);
            assert_memory_equal(mldsa_parameter.context, context, context_len);
        }
        assert_int_equal(fixture_sign(ctx, key, NULL, sig),
                         mldsa_sets[i].signature);
        assert_false(mldsa_parameter.present);
        EVP_PKEY_free(key);
    }
}

/* As pkeyutl -pkeyopt gives them; NULL after the last pair. */
static void
test_parameters_are_taken_as_text_and_last_until_an_init(void **state)
{
    EVP_PKEY *key = mldsa_key(ctx, 0);
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);

    (void)state;
    for (int again = 0; again < 2; again++) {
        size_t len = sizeof(sig);

        assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
        if (!again) {
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "context-string", "x") > 0);
            assert_true(
                EVP_PKEY_CTX_ctrl_str(pctx, "hexcontext-string", "ff00") > 0);
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "deterministic", "1") > 0);
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "mu", "0") > 0);
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "message-encoding", "1") >
                        0);
        }
        assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, fixture_message,
                                       fixture_message_len),
                         1);
        assert_int_equal(mldsa_parameter.present, !again);
        assert_true(verifies(0, "\xff", again ? 0 : 2, len));
    }
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(key);
}

static void test_what_a_token_cannot_be_asked_for_is_refused(void **state)
{
    static const char offered[] = "only plain";
    static const char too_long[] = "at most 255 bytes";
    static unsigned char bytes[256];
    int one = 1, zero = 0;
    const struct {
        const char *key;
        OSSL_PARAM param;
        const char *text;
    } rows[] = {
        { "ML-DSA-65", OSSL_PARAM_int("mu", &one), offered },
        { "ML-DSA-65", OSSL_PARAM_int("message-encoding", &zero), offered },
        { "ML-DSA-65", OSSL_PARAM_octet_string("test-entropy", bytes, 32),
          offered },
        { "ML-DSA-65", OSSL_PARAM_utf8_string("instance", "HashML-DSA", 10),
          offered },
        { "ML-DSA-65", OSSL_PARAM_octet_string("context-string", bytes, 256),
          too_long },
        { "ML-DSA-65", OSSL_PARAM_utf8_string("digest", "SHA256", 6),
          "signs the message itself" },
        { "p256", OSSL_PARAM_octet_string("context-string", bytes, 1),
          offered },
        { "rsa2048", OSSL_PARAM_int("deterministic", &one), offered },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_PARAM params[] = { rows[i].param, OSSL_PARAM_END };
        EVP_PKEY *key = fake_key(ctx, rows[i].key);
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);

        fake_calls_reset(fake);
        assert_true(EVP_PKEY_sign_init_ex(pctx, params) <= 0);
        fixture_assert_error(1,
                             i == 5 ? "the key cannot sign this digest or "
                                      "length"
                                    : "a parameter is not taken",
                             rows[i].text, NULL);
        assert_int_equal(fake_count(fake, NULL), 0);
        EVP_PKEY_CTX_free(pctx);
        EVP_PKEY_free(key);
    }
}

/* ---- a vendor's numbers ---- */

#define KEY_TYPE      0x80000010UL
#define MECHANISM     0x80000011UL
#define PARAMETER_SET 0x80000012UL
#define NUMBERS                                                                \
    "hsmsign-vendor-numbers = CKK_ML_DSA:0x80000010, CKM_ML_DSA:0x80000011 "   \
    "CKA_PARAMETER_SET:0x80000012, CKP_ML_DSA_44:0x2c,CKP_ML_DSA_65:0x41,"     \
    "CKP_ML_DSA_87:0x57"

/* As the standard's keys, under these numbers. */
static void renumber(size_t object, CK_ULONG set)
{
    static const CK_ULONG type = KEY_TYPE;

    fake_set_attribute(fake, object, CKA_KEY_TYPE, &type, sizeof(type));
    fake_set_attribute(fake, object, CKA_PARAMETER_SET, NULL, 0);
    fake_set_attribute(fake, object, PARAMETER_SET, &set, sizeof(set));
}

static void begin_vendor(const char *options)
{
    static const CK_ULONG sets[] = { 0x2c, 0x41, 0x57 };

    begin(MLDSA_VALUE, options);
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        renumber(mldsa_pair(i).private_key, sets[i]);
        renumber(mldsa_pair(i).public_key, sets[i]);
    }
    for (size_t i = 0; i < fake->n_mechanisms; i++) {
        if (fake->mechanisms[i] == CKM_ML_DSA)
            fake->mechanisms[i] = MECHANISM;
    }
}

static void test_vendors_numbers_are_used_with_keys_that_have_them(void **state)
{
    struct fake_call call;

    (void)state;
    begin_vendor(NUMBERS "\n");
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY *key = NULL;
        size_t len;

        assert_loads(i, 0, true);
        key = mldsa_key(ctx, i);
        fake_calls_reset(fake);
        len = fixture_sign(ctx, key, NULL, sig);
        assert_true(fixture_verify(mldsa_twin(i), NULL, sig, len));
        assert_true(fake_call(fake, "C_SignInit", 0, &call));
        assert_int_equal(call.mechanism, MECHANISM);
        assert_int_equal(fake_count(fake, NULL), 2);
        EVP_PKEY_free(key);
    }
}

/* What its mechanism takes as a parameter nobody knows. */
static void test_vendors_mechanism_is_given_no_parameter(void **state)
{
    (void)state;
    begin_vendor(NUMBERS "\n");
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        EVP_PKEY *key = mldsa_key(ctx, 0);

        assert_int_equal(mldsa_sign(ctx, key, "x", deterministic ? 0 : 1,
                                    deterministic, fixture_message,
                                    fixture_message_len, sig, sizeof(sig)),
                         0);
        fixture_assert_error(0, "a parameter is not taken", "vendor's ML-DSA",
                             NULL);
        EVP_PKEY_free(key);
    }
}

static void test_vendors_key_wants_the_numbers(void **state)
{
    (void)state;
    begin_vendor("");
    assert_null(fixture_load(ctx, FAKE_URI "ML-DSA-65"));
    fixture_assert_error(0, "the key's type or curve is not handled",
                         "0x80000010", "hsmsign-vendor-numbers", NULL);
    begin_vendor("hsmsign-vendor-numbers = CKK_ML_DSA:0x80000010\n");
    assert_null(fixture_load(ctx, FAKE_URI "ML-DSA-65"));
    fixture_assert_error(0, "the key's type or curve is not handled",
                         "parameter set", "hsmsign-vendor-numbers", NULL);
}

/* ---- making keys ---- */

static CK_MECHANISM_TYPE made_with;
static CK_ULONG made_set;

/* What openssl genpkey would have a token make; the twins sign for it. */
static CK_RV generate(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                      CK_ATTRIBUTE *public, CK_ULONG n_public,
                      CK_ATTRIBUTE *private, CK_ULONG n_private,
                      CK_OBJECT_HANDLE *public_key,
                      CK_OBJECT_HANDLE *private_key)
{
    char label[16] = "";
    struct fake_key key = { .type = CKK_ML_DSA,
                            .label = label,
                            .id = { label, 0 },
                            .no_public = true };
    struct fake_pair pair = { 0 };

    (void)session;
    (void)public_key;
    made_with = mechanism->mechanism;
    made_set = 0;
    for (CK_ULONG i = 0; i < n_public; i++) {
        if (public[i].type == CKA_PARAMETER_SET ||
            public[i].type == PARAMETER_SET)
            memcpy(&made_set, public[i].pValue, sizeof(made_set));
    }
    for (CK_ULONG i = 0; i < n_private; i++) {
        if (private[i].type == CKA_LABEL && private[i].ulValueLen < 16)
            memcpy(label, private[i].pValue, private[i].ulValueLen);
    }
    key.id.len = strlen(label);
    key.parameter_set = made_set;
    pair = fake_add_key(fake, 0, &key);
    if (made_with != CKM_ML_DSA_KEY_PAIR_GEN)
        renumber(pair.private_key, made_set);
    *private_key = fake_handle(fake, pair.private_key);
    return CKR_OK;
}

static void test_keys_are_made_by_either_numbers(void **state)
{
    static const CK_ULONG vendors[] = { 0x2c, 0x41, 0x57 };

    (void)state;
    for (int vendor = 0; vendor < 2; vendor++) {
        if (vendor)
            begin_vendor(NUMBERS ",CKM_ML_DSA_KEY_PAIR_GEN:0x80000013\n");
        fake->list.C_GenerateKeyPair = generate;
        for (size_t i = 0; i < MLDSA_SETS; i++) {
            EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(
                ctx, mldsa_sets[i].name, "provider=hsmsign");
            EVP_PKEY *key = NULL;
            char uri[64];
            size_t len;

            (void)snprintf(uri, sizeof(uri), FAKE_URI "%s-new;id=%s-new",
                           mldsa_sets[i].name, mldsa_sets[i].name);
            assert_int_equal(EVP_PKEY_keygen_init(pctx), 1);
            assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "pkcs11_uri", uri) > 0);
            assert_int_equal(EVP_PKEY_generate(pctx, &key), 1);
            assert_int_equal(made_with,
                             vendor ? 0x80000013UL : CKM_ML_DSA_KEY_PAIR_GEN);
            assert_int_equal(made_set, vendor ? vendors[i] : mldsa_sets[i].set);
            len = fixture_sign(ctx, key, NULL, sig);
            assert_true(fixture_verify(mldsa_twin(i), NULL, sig, len));
            EVP_PKEY_free(key);
            EVP_PKEY_CTX_free(pctx);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_public_half_is_found_and_proved_where_need_be),
        TEST(test_public_half_is_found_in_the_configured_file),
        TEST(test_what_is_no_public_half_of_the_key_is_passed_over),
        TEST(test_public_objects_are_keys),
        TEST(test_context_and_determinism_reach_the_token),
        TEST(test_parameters_are_taken_as_text_and_last_until_an_init),
        TEST(test_what_a_token_cannot_be_asked_for_is_refused),
        TEST(test_vendors_numbers_are_used_with_keys_that_have_them),
        TEST(test_vendors_mechanism_is_given_no_parameter),
        TEST(test_vendors_key_wants_the_numbers),
        TEST(test_keys_are_made_by_either_numbers),
    };

    if (!fixture_is_openssl(3, 5))
        return fixture_skip(tests, COUNT(tests),
                            "this libcrypto has no ML-DSA: 3.5 and newer do");
    fixture_begin();
    return cmocka_run_group_tests_name("provider/mldsa_load", tests, NULL,
                                       NULL);
}
