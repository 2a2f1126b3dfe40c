/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/core, and what every operation does with a CK_RV: each failure of
 * the token is one error in the queue, which names function, token, object and
 * CK_RV; what stood in the queue before stays, and what the token leaves there
 * goes.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

static struct fake *fake;
static OSSL_LIB_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ERR_clear_error();
    fake = fake_fixture();
    ctx = fake_context("");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    ctx = NULL;
    return 0;
}

/* A new process, as it were: nothing loaded, nothing logged in. */
static void begin_anew(void)
{
    OSSL_LIB_CTX_free(ctx);
    fake = fake_fixture();
    ctx = fake_context("");
}

static const struct {
    const char *function;
    CK_RV rv;
    const char *reason, *name, *where;
} loads[] = {
    { "C_GetFunctionList", CKR_GENERAL_ERROR,
      "the PKCS #11 module gives no reason", "CKR_GENERAL_ERROR", "fake" },
    { "C_Initialize", CKR_CANT_LOCK,
      "the module cannot lock with this system's threads", "CKR_CANT_LOCK",
      "fake" },
    { "C_Initialize", CKR_DEVICE_ERROR, "the token or the way to it failed",
      "CKR_DEVICE_ERROR", "fake" },
    { "C_GetSlotList", CKR_FUNCTION_FAILED, "the token could not do it",
      "CKR_FUNCTION_FAILED", "fake" },
    { "C_OpenSession", CKR_TOKEN_NOT_PRESENT, "there is no token in the slot",
      "CKR_TOKEN_NOT_PRESENT", "token \"fake\"" },
    { "C_OpenSession", CKR_SESSION_COUNT, "the token has no more sessions",
      "CKR_SESSION_COUNT", "token \"fake\"" },
    { "C_Login", CKR_PIN_INCORRECT, "the PIN is wrong", "CKR_PIN_INCORRECT",
      "token \"fake\"" },
    { "C_Login", CKR_PIN_LOCKED, "the PIN is locked", "CKR_PIN_LOCKED",
      "token \"fake\"" },
    { "C_Login", CKR_PIN_EXPIRED, "the PIN has expired", "CKR_PIN_EXPIRED",
      "token \"fake\"" },
    { "C_Login", CKR_USER_PIN_NOT_INITIALIZED, "the token has no user PIN yet",
      "CKR_USER_PIN_NOT_INITIALIZED", "token \"fake\"" },
    { "C_Login", CKR_DEVICE_REMOVED, "the token was removed or lost",
      "CKR_DEVICE_REMOVED", "token \"fake\"" },
    { "C_FindObjectsInit", CKR_ATTRIBUTE_VALUE_INVALID,
      "the token refuses an attribute's value", "CKR_ATTRIBUTE_VALUE_INVALID",
      "object=p256" },
    { "C_FindObjects", CKR_DEVICE_MEMORY, "the token is short of memory",
      "CKR_DEVICE_MEMORY", "object=p256" },
    { "C_GetAttributeValue", CKR_DEVICE_ERROR,
      "the token or the way to it failed", "CKR_DEVICE_ERROR", "object=p256" },
    { "C_GetAttributeValue", 0x80000042UL,
      "the token answers with a value of its vendor's", "0x80000042",
      "object=p256" },
};

static void test_failure_while_loading_is_one_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(loads); i++) {
        EVP_PKEY *key = NULL;
        char word[64];

        begin_anew();
        fake_fail(fake, loads[i].function, loads[i].rv, 1, 0);
        assert_null(fixture_load(ctx, FAKE_URI "p256"));
        (void)snprintf(word, sizeof(word), "%s: ", loads[i].function);
        fixture_assert_error(0, loads[i].reason, word, loads[i].name,
                             loads[i].where, NULL);
        /* A PIN that was refused is not sent again; the rest may recover. */
        fake_fail_none(fake);
        key = fixture_load(ctx, FAKE_URI "p256");
        assert_int_equal(key != NULL,
                         strncmp(loads[i].name, "CKR_PIN", 7) != 0);
        EVP_PKEY_free(key);
        ERR_clear_error();
    }
}

static const struct {
    const char *function;
    CK_RV rv;
    const char *reason, *name;
} signs[] = {
    { "C_SignInit", CKR_MECHANISM_INVALID, "the token lacks the mechanism",
      "CKR_MECHANISM_INVALID" },
    { "C_SignInit", CKR_KEY_FUNCTION_NOT_PERMITTED, "the key may not sign",
      "CKR_KEY_FUNCTION_NOT_PERMITTED" },
    { "C_SignInit", CKR_KEY_SIZE_RANGE,
      "the key's size is not allowed for this", "CKR_KEY_SIZE_RANGE" },
    { "C_SignInit", CKR_SESSION_HANDLE_INVALID,
      "the session's handle is no longer valid", "CKR_SESSION_HANDLE_INVALID" },
    { "C_SignInit", CKR_KEY_HANDLE_INVALID,
      "the key's handle is no longer valid", "CKR_KEY_HANDLE_INVALID" },
    { "C_SignInit", CKR_USER_NOT_LOGGED_IN, "nobody is logged in to the token",
      "CKR_USER_NOT_LOGGED_IN" },
    { "C_Sign", CKR_DEVICE_ERROR, "the token or the way to it failed",
      "CKR_DEVICE_ERROR" },
    { "C_Sign", CKR_DATA_LEN_RANGE, "the data's length does not fit the key",
      "CKR_DATA_LEN_RANGE" },
    { "C_Sign", CKR_BUFFER_TOO_SMALL, "the token's answer is too long",
      "CKR_BUFFER_TOO_SMALL" },
    { "C_Sign", CKR_HOST_MEMORY, "this machine is short of memory",
      "CKR_HOST_MEMORY" },
    { "C_Sign", 0xC0FFEE01UL, "the token answers with a value of its vendor's",
      "0xc0ffee01" },
};

static void test_failure_while_signing_is_one_error(void **state)
{
    static const char *const names[] = { "rsa2048", "p256" };

    (void)state;
    for (size_t i = 0; i < COUNT(signs) * COUNT(names); i++) {
        const char *name = names[i % COUNT(names)];
        size_t row = i / COUNT(names);
        EVP_PKEY *key = fake_key(ctx, name), *public = fixture_public(name);
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        char word[64];

        fake_fail(fake, signs[row].function, signs[row].rv, 1, 0);
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        (void)snprintf(word, sizeof(word), "%s: ", signs[row].function);
        fixture_assert_error(0, signs[row].reason, word, signs[row].name,
                             "token \"fake\"", name, NULL);
        fake_fail_none(fake);
        assert_true(fixture_signs(ctx, key, public));
        fixture_assert_no_error();
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
}

/* What a new session, login or search mends is no error at all. */
static void test_what_can_be_mended_is_no_error(void **state)
{
    static const unsigned losses[] = { FAKE_SESSIONS, FAKE_HANDLES,
                                       FAKE_LOGIN | FAKE_HANDLES,
                                       FAKE_SESSIONS | FAKE_LOGIN |
                                           FAKE_HANDLES };
    EVP_PKEY *key = fake_key(ctx, "p256"), *public = fixture_public("p256");

    (void)state;
    for (size_t i = 0; i < COUNT(losses); i++) {
        fake_lose(fake, losses[i]);
        assert_true(fixture_signs(ctx, key, public));
        fixture_assert_no_error();
    }
    fake_fail(fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
    assert_true(fixture_signs(ctx, key, public));
    fixture_assert_no_error();
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

static fake_sign_fn *sign_as_named;

/* With another key, of which the private object tells the same. */
static CK_RV sign_as_another(struct fake *f, const struct fake_object *key,
                             const CK_MECHANISM *mechanism,
                             const unsigned char *data, size_t len,
                             unsigned char *sig, size_t *siglen)
{
    struct fake_object another = *key;

    for (size_t i = 0; i < another.n; i++) {
        if (another.attributes[i].type == CKA_LABEL)
            another.attributes[i] = (CK_ATTRIBUTE){ CKA_LABEL, "p256-bare", 9 };
    }
    return sign_as_named(f, &another, mechanism, data, len, sig, siglen);
}

static void test_key_that_another_one_replaced_does_not_sign(void **state)
{
    static const unsigned char nothing[8];
    EVP_PKEY *key = fake_key(ctx, "p256"), *public = fixture_public("p256");
    unsigned char sig[FIXTURE_SIGNATURE_MAX] = { 0 };

    (void)state;
    sign_as_named = fake->sign;
    fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    fake->sign = sign_as_another;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        fixture_assert_error(0, "the URI now names another key", "p256", NULL);
        assert_memory_equal(sig, nothing, sizeof(nothing));
    }
    fake->sign = sign_as_named;
    fake_calls_reset(fake);
    assert_true(fixture_signs(ctx, key, public));
    assert_int_equal(fake_count(fake, NULL), 2);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

/* Nor for a key that is loaded when the token has come back. */
static void test_lost_session_or_login_does_not_fail_a_load(void **state)
{
    static const unsigned losses[] = { FAKE_SESSIONS, FAKE_LOGIN | FAKE_HANDLES,
                                       FAKE_SESSIONS | FAKE_LOGIN |
                                           FAKE_HANDLES };
    EVP_PKEY *public = fixture_public("p256");

    (void)state;
    EVP_PKEY_free(fake_key(ctx, "rsa2048"));
    for (size_t i = 0; i < COUNT(losses); i++) {
        EVP_PKEY *key = NULL;

        fake_lose(fake, losses[i]);
        key = fixture_load(ctx, FAKE_URI "p256");
        fixture_assert_no_error();
        assert_non_null(key);
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(public);
}

static void test_key_that_may_not_sign_says_so_before_the_token(void **state)
{
    static const CK_BBOOL no = CK_FALSE;
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY *key = NULL;

    (void)state;
    fake_set_attribute(fake, 0, CKA_SIGN, &no, sizeof(no));
    key = fake_key(ctx, "rsa2048");
    fake_calls_reset(fake);
    assert_int_equal(
        EVP_DigestSignInit_ex(mctx, NULL, "SHA256", ctx, NULL, key, NULL), 0);
    fixture_assert_error(0, "the key may not sign", "CKA_SIGN", "rsa2048",
                         NULL);
    assert_int_equal(fake_count(fake, NULL), 0);
    EVP_MD_CTX_free(mctx);
    EVP_PKEY_free(key);
}

/* An error of before, which a program may yet want to look at. */
static void raise_earlier(void)
{
    ERR_clear_error();
    ERR_raise_data(ERR_LIB_USER, 7, "earlier");
    ERR_set_mark();
}

static void assert_earlier(void)
{
    const char *data = NULL;
    int flags = 0;

    assert_int_equal(
        ERR_GET_REASON(ERR_get_error_all(NULL, NULL, NULL, &data, &flags)), 7);
    assert_string_equal(data, "earlier");
}

static void test_earlier_errors_stay_in_the_queue(void **state)
{
    EVP_PKEY *key = NULL, *public = fixture_public("p256");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    raise_earlier();
    key = fake_key(ctx, "p256");
    assert_true(fixture_signs(ctx, key, public));
    assert_earlier();
    fixture_assert_no_error();
    for (int i = 0; i < 2; i++) {
        raise_earlier();
        if (i == 0) {
            assert_null(fixture_load(ctx, FAKE_URI "nope"));
        } else {
            fake_fail(fake, "C_Sign", CKR_GENERAL_ERROR, 1, 0);
            assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        }
        assert_earlier();
        fixture_assert_error(0,
                             i == 0 ? "no private key matches the URI"
                                    : "the PKCS #11 module gives no reason",
                             NULL);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

/* The caller's mark is the caller's: ours are gone when we return. */
static void assert_mark_is_there(void)
{
    assert_int_equal(ERR_pop_to_mark(), 1);
    assert_earlier();
    fixture_assert_no_error();
    assert_int_equal(ERR_pop_to_mark(), 0); /* there was one */
}

static void test_callers_mark_is_where_it_was(void **state)
{
    EVP_PKEY *key = fake_key(ctx, "p256");
    EVP_PKEY *bare = fake_key(ctx, "p256-bare");
    EVP_PKEY *public = fixture_public("p256-bare");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    raise_earlier();
    assert_null(fixture_load(ctx, FAKE_URI "nope"));
    assert_mark_is_there();
    raise_earlier();
    EVP_PKEY_free(fake_key(ctx, "p256"));
    assert_mark_is_there();
    raise_earlier();
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    assert_mark_is_there();
    raise_earlier();
    assert_int_equal(EVP_PKEY_eq(bare, public), 1);
    assert_mark_is_there();
    fake_fail(fake, "C_Sign", CKR_GENERAL_ERROR, 1, 0);
    raise_earlier();
    assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
    assert_mark_is_there();
    EVP_PKEY_free(key);
    EVP_PKEY_free(bare);
    EVP_PKEY_free(public);
}

/* SoftHSM, and whoever else uses libcrypto, is as careless as this. */
static void leave_errors(struct fake *of, const char *function, void *arg)
{
    (void)of;
    (void)arg;
    for (int i = 0; i < 3; i++)
        ERR_raise_data(ERR_LIB_USER, 9, "left by %s", function);
}

static void test_what_a_token_leaves_in_the_queue_goes(void **state)
{
    EVP_PKEY *key = NULL, *public = fixture_public("p256-bare");
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    (void)state;
    fake->before = leave_errors;
    key = fixture_load(ctx, FAKE_URI "p256-bare");
    fixture_assert_no_error();
    assert_non_null(key);
    assert_int_equal(EVP_PKEY_eq(key, public), 1);
    fixture_assert_no_error();
    assert_true(fixture_signs(ctx, key, public));
    fixture_assert_no_error();
    assert_null(fixture_load(ctx, FAKE_URI "nope"));
    fixture_assert_error(0, "no private key matches the URI", NULL);
    fake_fail(fake, "C_Sign", CKR_GENERAL_ERROR, 1, 0);
    assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
    fixture_assert_error(0, "the PKCS #11 module gives no reason", NULL);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
}

static void test_early_load_leaves_no_errors(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    fake = fake_fixture();
    fake->before = leave_errors;
    ctx = fake_context("pkcs11-module-load-behavior = early\n");
    fixture_assert_no_error();
    assert_int_equal(fake_count(fake, "C_Initialize"), 1);
    assert_int_equal(fake_count(fake, NULL), 2); /* and C_GetFunctionList */
}

static void test_unload_leaves_no_errors(void **state)
{
    (void)state;
    EVP_PKEY_free(fake_key(ctx, "p256"));
    fake->before = leave_errors;
    OSSL_LIB_CTX_free(ctx);
    ctx = NULL;
    fixture_assert_no_error();
    assert_int_equal(fake_count(fake, "C_Finalize"), 1);
    assert_int_equal(fake_open_sessions(fake), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_failure_while_loading_is_one_error),
        TEST(test_failure_while_signing_is_one_error),
        TEST(test_what_can_be_mended_is_no_error),
        TEST(test_key_that_another_one_replaced_does_not_sign),
        TEST(test_lost_session_or_login_does_not_fail_a_load),
        TEST(test_key_that_may_not_sign_says_so_before_the_token),
        TEST(test_earlier_errors_stay_in_the_queue),
        TEST(test_callers_mark_is_where_it_was),
        TEST(test_what_a_token_leaves_in_the_queue_goes),
        TEST(test_early_load_leaves_no_errors),
        TEST(test_unload_leaves_no_errors),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/errors", tests, NULL, NULL);
}
