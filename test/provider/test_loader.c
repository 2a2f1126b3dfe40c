/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/loader: where the PIN comes from when a key is loaded, who is
 * asked for it, and what is said when there is none.  The process keeps a
 * login as long as a library context holds the module, so that each test has
 * a context of its own.
 */
#include "wrap.h"
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>

/* The token remembers a login, and the process a PIN: each begins anew. */
static const struct {
    const char *uri, *reason, *word, *other_word;
} pins[] = {
    { FIXTURE_URI "p256", "the token wants a PIN and nothing gives one",
      "\"demo\"", "pkcs11-module-token-pin" },
    { FIXTURE_URI "p256?pin-value=4321", "the PIN is wrong",
      "C_Login: CKR_PIN_INCORRECT", "\"demo\"" },
    { FIXTURE_URI "p256?pin-value=", "the PIN cannot be read", "pin-value",
      "empty" },
    { FIXTURE_URI "p256?pin-source=file:/nonexistent/pin",
      "the PIN cannot be read", "/nonexistent/pin", "No such file" },
};

static void test_pin_that_is_wrong_or_missing_is_one_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pins); i++) {
        OSSL_LIB_CTX *ctx = fixture_softhsm("");

        assert_null(fixture_load(ctx, pins[i].uri));
        fixture_assert_error(0, pins[i].reason, pins[i].word,
                             pins[i].other_word, NULL);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_refused_pin_is_shown_nowhere(void **state)
{
    struct fixture_errors errors;
    OSSL_LIB_CTX *ctx = fixture_softhsm("");

    (void)state;
    assert_null(fixture_load(ctx, FIXTURE_URI "p256?pin-value=Geheim-4711"));
    fixture_take_errors("hsmsign", &errors);
    assert_int_equal(errors.ours, 1);
    assert_null(strstr(errors.all, "Geheim"));
    assert_null(strstr(errors.all, "4711"));
    OSSL_LIB_CTX_free(ctx);
}

/* What a person is shown, and types. */
static struct {
    int asked;
    const char *answer; /* NULL: nobody is there */
    char shown[256];
} person;

static int open_session(UI *ui)
{
    (void)ui;
    return 1;
}

static int show(UI *ui, UI_STRING *text)
{
    (void)ui;
    (void)snprintf(person.shown, sizeof(person.shown), "%s",
                   UI_get0_output_string(text));
    return 1;
}

static int type(UI *ui, UI_STRING *text)
{
    person.asked++;
    return person.answer != NULL && UI_set_result(ui, text, person.answer) >= 0;
}

static EVP_PKEY *load_asking(OSSL_LIB_CTX *ctx, const char *uri)
{
    UI_METHOD *method = UI_create_method("person");
    OSSL_STORE_CTX *store = NULL;
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    UI_method_set_opener(method, open_session);
    UI_method_set_writer(method, show);
    UI_method_set_reader(method, type);
    UI_method_set_closer(method, open_session);
    store = OSSL_STORE_open_ex(uri, ctx, NULL, method, NULL, NULL, NULL, NULL);
    assert_non_null(store);
    info = OSSL_STORE_load(store);
    if (info != NULL)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    UI_destroy_method(method);
    return key;
}

static void test_person_is_asked_once_for_the_named_token(void **state)
{
    EVP_PKEY *public = fixture_public("p256"), *key = NULL;
    OSSL_LIB_CTX *ctx = fixture_softhsm("");

    (void)state;
    person.asked = 0;
    person.answer = "1234";
    for (int i = 0; i < 2; i++) {
        key = load_asking(ctx, FIXTURE_URI "p256");
        assert_non_null(key);
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
        assert_int_equal(person.asked, 1);
    }
    assert_non_null(strstr(person.shown, "\"demo\""));
    assert_non_null(strstr(person.shown, "PIN"));
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

static void test_person_who_says_nothing_or_the_wrong_thing(void **state)
{
    static const struct {
        const char *answer, *reason;
    } rows[] = { { NULL, "the token wants a PIN and nothing gives one" },
                 { "", "the token wants a PIN and nothing gives one" },
                 { "9999", "the PIN is wrong" } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_LIB_CTX *ctx = fixture_softhsm("");

        person.asked = 0;
        person.answer = rows[i].answer;
        assert_null(load_asking(ctx, FIXTURE_URI "p256"));
        assert_int_equal(person.asked, 1);
        fixture_assert_error(0, rows[i].reason, "\"demo\"", NULL);
        OSSL_LIB_CTX_free(ctx);
    }
}

static int give_pin(char *buf, int size, int rwflag, void *arg)
{
    int *calls = arg;

    (void)rwflag;
    (*calls)++;
    return snprintf(buf, (size_t)size, "1234");
}

/* As with an encrypted key file: -passin, ssl_password_file and their kin. */
static void test_password_of_a_pem_file_is_the_pin(void **state)
{
    EVP_PKEY *public = fixture_public("p256"), *key = NULL;
    OSSL_LIB_CTX *ctx = fixture_softhsm("");
    struct der der;
    BIO *bio = NULL;
    int calls = 0;

    (void)state;
    wrap_good(&der, P256);
    bio = pem(LABEL, &der);
    key = PEM_read_bio_PrivateKey_ex(bio, NULL, give_pin, &calls, ctx, NULL);
    assert_non_null(key);
    assert_int_equal(calls, 1);
    assert_true(fixture_signs(ctx, key, public));
    BIO_free(bio);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
    fixture_assert_no_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pin_that_is_wrong_or_missing_is_one_error),
        cmocka_unit_test(test_refused_pin_is_shown_nowhere),
        cmocka_unit_test(test_person_is_asked_once_for_the_named_token),
        cmocka_unit_test(test_person_who_says_nothing_or_the_wrong_thing),
        cmocka_unit_test(test_password_of_a_pem_file_is_the_pin),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/loader", tests, NULL, NULL);
}
