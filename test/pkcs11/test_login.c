/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/login: which PIN is sent, and how often.  A token counts wrong PINs
 * and locks, so that what counts here is the number of C_Login calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../pkcs11/login.h"
#include "fixture.h"

/* Into a file of that name, which is made where it ends in XXXXXX. */
static void write_pin(char *path, const char *pin)
{
    int fd = strstr(path, "XXXXXX") != NULL ? mkstemp(path)
                                            : open(path, O_WRONLY | O_TRUNC);
    size_t len = strlen(pin);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, pin, len), len);
    close(fd);
}

static size_t logins(struct fixture *f)
{
    return fake_count(f->fake, "C_Login");
}

/* A load that ends with want, after that many C_Login since the reset. */
static void assert_load(struct fixture *f, const char *pin, CK_RV want,
                        size_t n)
{
    p11_key_free(f->key);
    assert_rv(f, fixture_load(f, URI, pin, &f->key, &f->err), want);
    assert_int_equal(logins(f), n);
}

/* Who is asked, and answers. */
struct person {
    const char *pin; /* NULL: nobody there */
    unsigned asked;
    char label[40];
};

static bool ask(void *arg, const char *label, char *buf, size_t size,
                size_t *len)
{
    struct person *person = arg;

    person->asked++;
    strncpy(person->label, label, sizeof(person->label) - 1);
    if (person->pin == NULL)
        return false;
    assert_true(strlen(person->pin) <= size);
    *len = strlen(person->pin);
    memcpy(buf, person->pin, *len);
    return true;
}

/* Load with what each source gives; NULL: nothing. */
static CK_RV load(struct fixture *f, const char *uri_pin,
                  const char *config_pin, struct person *person)
{
    struct p11_pin_source config = { 0 };
    struct p11_pin_request request = { .config = &config,
                                       .prompt = person != NULL ? ask : NULL,
                                       .prompt_arg = person };
    struct p11_uri *uri = NULL;
    CK_RV rv;

    assert_int_equal(p11_uri_parse(URI, &uri, &f->err), CKR_OK);
    if (uri_pin != NULL)
        assert_int_equal(p11_pin_source_set(P11_PIN_LITERAL, uri_pin,
                                            "pin-value", &uri->pin, &f->err),
                         CKR_OK);
    if (config_pin != NULL)
        assert_int_equal(p11_pin_source_set(P11_PIN_LITERAL, config_pin,
                                            "option", &config, &f->err),
                         CKR_OK);
    request.uri = &uri->pin;
    rv = p11_key_load(f->module, uri, &request, &f->key, &f->err);
    p11_pin_source_clear(&config);
    p11_uri_free(uri);
    return rv;
}

static void
test_pin_is_of_the_uri_before_configuration_before_prompt(void **state)
{
    static const struct {
        const char *uri, *config, *prompt;
        CK_RV rv;
        unsigned asked;
    } rows[] = {
        { PIN, "bad", "bad", CKR_OK, 0 },
        { NULL, PIN, "bad", CKR_OK, 0 },
        { NULL, NULL, PIN, CKR_OK, 1 },
        { "bad", PIN, PIN, CKR_PIN_INCORRECT, 0 },
        { NULL, "bad", PIN, CKR_PIN_INCORRECT, 0 },
        { NULL, NULL, "bad", CKR_PIN_INCORRECT, 1 },
        { NULL, NULL, NULL, P11_NO_PIN, 1 },
        { "", PIN, PIN, P11_PIN_SOURCE, 0 },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct person person = { .pin = rows[i].prompt };
        CK_RV rv = load(f, rows[i].uri, rows[i].config, &person);

        assert_rv(f, rv, rows[i].rv);
        assert_int_equal(person.asked, rows[i].asked);
        if (person.asked > 0)
            assert_string_equal(person.label, "fake");
        p11_key_free(f->key);
        f->key = NULL;
        fixture_close(f);
        fixture_open(f);
    }
}

static void test_without_a_pin_there_is_no_login(void **state)
{
    struct fixture *f = *state;

    assert_load(f, NULL, P11_NO_PIN, 0);
    assert_text(f, "\"fake\"");
    assert_text(f, "HSM_PIN");
    assert_load(f, PIN, CKR_OK, 1);
}

static void test_second_load_does_not_log_in_again(void **state)
{
    struct fixture *f = *state;

    assert_load(f, PIN, CKR_OK, 1);
    assert_load(f, PIN, CKR_OK, 1);
    assert_load(f, NULL, CKR_OK, 1);
}

static void test_refused_pin_is_not_sent_again(void **state)
{
    struct fixture *f = *state;

    assert_load(f, "geheim", CKR_PIN_INCORRECT, 1);
    assert_text(f, "C_Login: CKR_PIN_INCORRECT");
    assert_text(f, "token \"fake\"");
    assert_null(strstr(f->err.text, "geheim"));
    for (int i = 0; i < 5; i++) {
        assert_load(f, "geheim", CKR_PIN_INCORRECT, 1);
        assert_text(f, "not repeated");
        assert_null(strstr(f->err.text, "geheim"));
    }
    assert_load(f, PIN, CKR_OK, 2);
    assert_signs(f);
}

static void test_refused_pin_is_not_sent_again_after_another_one(void **state)
{
    struct fixture *f = *state;

    assert_load(f, "first", CKR_PIN_INCORRECT, 1);
    assert_load(f, "second", CKR_PIN_INCORRECT, 2);
    assert_load(f, "first", CKR_PIN_INCORRECT, 2);
    assert_load(f, "second", CKR_PIN_INCORRECT, 2);
    assert_load(f, PIN, CKR_OK, 3);
}

/* What is known of a PIN is known of one token. */
static void test_refused_pin_may_be_another_tokens(void **state)
{
    struct fixture *f = *state;

    (void)fake_add_slot(f->fake, "blue", "2");
    memcpy(f->fake->slots[1].pin, "blues", 6);
    (void)fake_add_key(f->fake, 1, &fixture_rsa);
    assert_load(f, "blues", CKR_PIN_INCORRECT, 1);
    assert_rv(f,
              fixture_load(f, "pkcs11:token=blue;object=signer", "blues",
                           &f->key, &f->err),
              CKR_OK);
    assert_int_equal(logins(f), 2);
    assert_false(fake_logged_in(f->fake, 0));
    assert_true(fake_logged_in(f->fake, 1));
}

static void test_every_refusal_of_a_pin_ends_its_use(void **state)
{
    static const CK_RV refusals[] = { CKR_PIN_INCORRECT, CKR_PIN_INVALID,
                                      CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED,
                                      CKR_PIN_LOCKED };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(refusals); i++) {
        fake_fail(f->fake, "C_Login", refusals[i], 1, 1);
        fake_calls_reset(f->fake);
        assert_load(f, "bad", refusals[i], 1);
        assert_load(f, "bad", refusals[i], 1);
        fake_fail_none(f->fake);
        fixture_close(f);
        fixture_open(f);
    }
}

static void test_locked_pin_is_not_tried(void **state)
{
    struct fixture *f = *state;

    f->fake->slots[0].pin_tries = 3;
    f->fake->slots[0].bad_pins = 3;
    assert_load(f, PIN, CKR_PIN_LOCKED, 0);
    assert_text(f, "CKR_PIN_LOCKED");
    assert_text(f, "token \"fake\"");
}

/* Whoever has the right PIN can reset the count; a wrong one would lock it. */
static void test_last_try_is_left_to_a_person(void **state)
{
    struct fixture *f = *state;

    f->fake->slots[0].pin_tries = 3;
    f->fake->slots[0].bad_pins = 2;
    assert_load(f, PIN, P11_LAST_TRY, 0);
    assert_text(f, "token's own tool");
    f->fake->slots[0].bad_pins = 0;
    assert_load(f, PIN, CKR_OK, 1);
}

static void test_pin_that_was_unlocked_is_tried(void **state)
{
    struct fixture *f = *state;

    f->fake->slots[0].pin_tries = 3;
    f->fake->slots[0].bad_pins = 3;
    assert_load(f, PIN, CKR_PIN_LOCKED, 0);
    f->fake->slots[0].bad_pins = 0;
    assert_load(f, PIN, CKR_OK, 1);
}

static void test_pin_pad_takes_no_pin_and_asks_nobody(void **state)
{
    struct fixture *f = *state;
    struct person person = { .pin = PIN };
    struct fake_call call;

    f->fake->slots[0].flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    assert_rv(f, load(f, PIN, PIN, &person), CKR_OK);
    assert_int_equal(person.asked, 0);
    assert_true(fake_call(f->fake, "C_Login", 0, &call));
    assert_false(call.pin_given);
    assert_int_equal(call.user, CKU_USER);
    assert_signs(f);
}

static void test_refusal_at_the_pin_pad_may_be_tried_again(void **state)
{
    struct fixture *f = *state;

    f->fake->slots[0].flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    f->fake->slots[0].pinpad = CKR_PIN_INCORRECT;
    assert_load(f, NULL, CKR_PIN_INCORRECT, 1);
    f->fake->slots[0].pinpad = CKR_OK;
    assert_load(f, NULL, CKR_OK, 2);
}

static void test_token_without_login_is_not_logged_in_to(void **state)
{
    struct fixture *f = *state;
    struct person person = { .pin = PIN };

    f->fake->slots[0].flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    assert_rv(f, load(f, PIN, PIN, &person), CKR_OK);
    assert_int_equal(person.asked, 0);
    assert_int_equal(logins(f), 0);
    assert_signs(f);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_HANDLES);
    assert_signs(f);
    assert_int_equal(logins(f), 0);
}

static void test_login_of_the_application_is_good_enough(void **state)
{
    struct fixture *f = *state;
    CK_FUNCTION_LIST *list = &f->fake->list;
    CK_SESSION_HANDLE session;

    assert_int_equal(list->C_OpenSession(f->fake->slots[0].id,
                                         CKF_SERIAL_SESSION, NULL, NULL,
                                         &session),
                     CKR_OK);
    assert_int_equal(list->C_Login(session, CKU_USER, (CK_BYTE *)PIN, 4),
                     CKR_OK);
    assert_load(f, PIN, CKR_OK, 2);
    assert_signs(f);
    assert_load(f, PIN, CKR_OK, 2);
}

static void test_failure_of_the_token_does_not_cost_the_pin(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_Login", CKR_DEVICE_ERROR, 1, 1);
    assert_load(f, PIN, CKR_DEVICE_ERROR, 1);
    assert_text(f, "C_Login: CKR_DEVICE_ERROR");
    assert_load(f, PIN, CKR_OK, 2);
}

/* The other one was never good; it would be sent before the corrected one. */
static void test_corrected_pin_replaces_the_one_of_a_failed_login(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_Login", CKR_ARGUMENTS_BAD, 1, 1);
    assert_load(f, "malformed", CKR_ARGUMENTS_BAD, 1);
    assert_load(f, PIN, CKR_OK, 2);
    assert_int_equal(f->fake->slots[0].bad_pins, 0);
}

static void test_pin_from_a_prompt_is_kept_for_the_next_login(void **state)
{
    struct fixture *f = *state;
    struct person person = { .pin = PIN };

    assert_rv(f, load(f, NULL, NULL, &person), CKR_OK);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_signs(f);
    assert_int_equal(person.asked, 1);
    assert_int_equal(logins(f), 2);
}

/* The PIN was changed meanwhile: one try, and none for later signatures. */
static void test_kept_pin_that_is_refused_is_not_sent_again(void **state)
{
    struct fixture *f = *state;

    assert_load(f, PIN, CKR_OK, 1);
    memcpy(f->fake->slots[0].pin, "9999", 5);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    for (int i = 0; i < 5; i++)
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_int_equal(logins(f), 2);
    assert_load(f, "9999", CKR_OK, 3);
    assert_signs(f);
}

/* The key loaded with the PIN that this file has, and lost again. */
static void load_from_file(struct fixture *f, char *path)
{
    struct p11_pin_source config = { 0 };
    const struct p11_pin_request request = { .config = &config };
    struct p11_uri *uri = NULL;

    write_pin(path, PIN);
    assert_int_equal(
        p11_pin_source_set(P11_PIN_FILE, path, "option", &config, &f->err),
        CKR_OK);
    assert_int_equal(p11_uri_parse(URI, &uri, &f->err), CKR_OK);
    assert_rv(f, p11_key_load(f->module, uri, &request, &f->key, &f->err),
              CKR_OK);
    p11_pin_source_clear(&config);
    p11_uri_free(uri);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
}

/* Who keeps it in a file changes both; no try is lost, and back again. */
static void test_next_login_takes_the_pin_that_the_file_has_now(void **state)
{
    static const char *const pins[] = { "second", "third", "second", PIN };
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    load_from_file(f, path);
    for (size_t i = 0; i < COUNT(pins); i++) {
        write_pin(path, pins[i]);
        memcpy(f->fake->slots[0].pin, pins[i], strlen(pins[i]) + 1);
        fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
        assert_signs(f);
        assert_int_equal(logins(f), 2 + i);
    }
    assert_int_equal(f->fake->slots[0].bad_pins, 0);
    unlink(path);
}

static void test_file_with_a_wrong_pin_costs_one_try_and_no_login(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    load_from_file(f, path);
    write_pin(path, "wrong");
    assert_signs(f);
    assert_int_equal(logins(f), 3);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_signs(f);
    assert_int_equal(logins(f), 4);
    unlink(path);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_signs(f);
    assert_int_equal(logins(f), 5);
}

/* Which nobody has tried yet: the token was asked for a login it still had. */
static void test_pin_that_was_good_is_kept_until_another_one_is(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    load_from_file(f, path);
    write_pin(path, "wrong");
    fake_fail(f->fake, "C_Login", CKR_USER_ALREADY_LOGGED_IN, 1, 1);
    assert_signs(f);
    /* Not in it, refused, the good one. */
    assert_int_equal(logins(f), 4);
    unlink(path);
}

static void *write_later(void *path)
{
    const struct timespec pause = { 0, 200000000 };

    (void)nanosleep(&pause, NULL);
    write_pin(path, "second");
    return NULL;
}

/* Both are changed, one after the other, and a login falls in between. */
static void test_login_waits_for_the_file_when_the_pin_was_changed(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";
    pthread_t thread;

    fixture_close(f);
    f->config.deadline = 60000;
    fixture_open(f);
    load_from_file(f, path);
    memcpy(f->fake->slots[0].pin, "second", 7);
    assert_int_equal(pthread_create(&thread, NULL, write_later, path), 0);
    assert_signs(f);
    pthread_join(thread, NULL);
    assert_int_equal(logins(f), 3);
    unlink(path);
}

/* Each PIN of these would be one more refusal: who knows the right one has it.
 */
static void test_last_try_is_left_though_the_file_has_another_pin(void **state)
{
    static const struct {
        unsigned bad_pins; /* before */
        const char *later; /* in the file, after a while */
    } cases[] = { { 1, NULL }, { 0, "second" } };
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";
    pthread_t thread;

    fixture_close(f);
    f->config.deadline = 60000;
    fixture_open(f);
    f->fake->slots[0].pin_tries = 3;
    for (size_t i = 0; i < COUNT(cases); i++) {
        memcpy(f->fake->slots[0].pin, PIN, sizeof(PIN));
        f->fake->slots[0].bad_pins = 0;
        load_from_file(f, path);
        f->fake->slots[0].bad_pins = cases[i].bad_pins;
        memcpy(f->fake->slots[0].pin, "changed", 8);
        write_pin(path, "wrong");
        if (cases[i].later != NULL)
            assert_int_equal(pthread_create(&thread, NULL, write_later, path),
                             0);
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), P11_LAST_TRY);
        assert_int_equal(f->fake->slots[0].bad_pins, 2);
        if (cases[i].later != NULL)
            pthread_join(thread, NULL);
        p11_key_free(f->key);
        f->key = NULL;
        fixture_close(f);
        fixture_open(f);
    }
    unlink(path);
}

/* CKA_ALWAYS_AUTHENTICATE: the login itself is not lost. */
static void
test_pin_for_one_signature_is_the_one_that_the_file_has_now(void **state)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    fake_set_attribute(f->fake, f->pair.private_key, CKA_ALWAYS_AUTHENTICATE,
                       &yes, sizeof(yes));
    load_from_file(f, path);
    assert_signs(f);
    memcpy(f->fake->slots[0].pin, "second", 7);
    for (int i = 0; i < 3; i++)
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_int_equal(f->fake->slots[0].bad_pins, 1);
    write_pin(path, "second");
    for (int i = 0; i < 3; i++)
        assert_signs(f);
    assert_int_equal(f->fake->slots[0].bad_pins, 0);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_signs(f);
    unlink(path);
}

/*
 * The file was changed first, and the PIN in it refused; once the old one is,
 * too, the token's has changed, and that refusal says nothing any more.
 */
static void test_pin_that_came_too_early_is_tried_again(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    load_from_file(f, path);
    write_pin(path, "second");
    assert_signs(f);
    assert_int_equal(logins(f), 3);
    memcpy(f->fake->slots[0].pin, "second", 7);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_int_equal(logins(f), 4);
    assert_signs(f);
    assert_int_equal(logins(f), 5);
    unlink(path);
}

/* The token's PIN was changed first; nobody has to load the key again. */
static void
test_pin_that_was_refused_waits_for_another_in_the_file(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/pin-XXXXXX";

    load_from_file(f, path);
    memcpy(f->fake->slots[0].pin, "second", 7);
    for (int i = 0; i < 5; i++)
        assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_PIN_INCORRECT);
    assert_int_equal(logins(f), 2);
    write_pin(path, "second");
    assert_signs(f);
    assert_int_equal(logins(f), 3);
    unlink(path);
}

/* The PIN is the other token's: here it would only cost a try. */
static void
test_pin_does_not_go_to_a_token_in_the_place_of_another(void **state)
{
    struct fixture *f = *state;

    assert_load(f, PIN, CKR_OK, 1);
    memcpy(f->fake->slots[0].serial, "2", 2);
    memcpy(f->fake->slots[0].pin, "9999", 5);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_int_not_equal(fixture_sign(f->key, LABEL, &f->err), CKR_OK);
    assert_int_equal(logins(f), 1);
    assert_int_equal(f->fake->slots[0].bad_pins, 0);
}

static void test_cloudhsm_pin_without_user_is_not_sent(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    fixture_copy_module(f, "libcloudhsm_pkcs11.so");
    (void)fake_add_key(f->fake, 0, &fixture_rsa);
    memcpy(f->fake->slots[0].pin, "user:1234", 10);
    fixture_open(f);
    assert_load(f, PIN, CKR_PIN_INVALID, 0);
    assert_text(f, "USER:PASSWORD");
    assert_text(f, "HSM_PIN");
    assert_null(strstr(f->err.text, PIN));
    assert_load(f, "user:1234", CKR_OK, 1);
}

/* As SoftHSM does while another process writes the token. */
static void test_token_that_cannot_say_what_it_is_is_asked_again(void **state)
{
    struct fixture *f = *state;

    assert_load(f, PIN, CKR_OK, 1);
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    fake_fail(f->fake, "C_GetTokenInfo", CKR_GENERAL_ERROR, 1, 3);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_OK);
    assert_int_equal(logins(f), 2);
    /* But not for ever, and it gets no PIN meanwhile. */
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    fake_fail(f->fake, "C_GetTokenInfo", CKR_GENERAL_ERROR, 1, 0);
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_GENERAL_ERROR);
    assert_text(f, "C_GetTokenInfo");
    assert_int_equal(logins(f), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(test_pin_is_of_the_uri_before_configuration_before_prompt),
        TEST_OPEN(test_without_a_pin_there_is_no_login),
        TEST_OPEN(test_second_load_does_not_log_in_again),
        TEST_OPEN(test_refused_pin_is_not_sent_again),
        TEST_OPEN(test_refused_pin_is_not_sent_again_after_another_one),
        TEST_OPEN(test_refused_pin_may_be_another_tokens),
        TEST_OPEN(test_every_refusal_of_a_pin_ends_its_use),
        TEST_OPEN(test_locked_pin_is_not_tried),
        TEST_OPEN(test_last_try_is_left_to_a_person),
        TEST_OPEN(test_pin_that_was_unlocked_is_tried),
        TEST_OPEN(test_pin_pad_takes_no_pin_and_asks_nobody),
        TEST_OPEN(test_refusal_at_the_pin_pad_may_be_tried_again),
        TEST_OPEN(test_token_without_login_is_not_logged_in_to),
        TEST_OPEN(test_login_of_the_application_is_good_enough),
        TEST_OPEN(test_failure_of_the_token_does_not_cost_the_pin),
        TEST_OPEN(test_corrected_pin_replaces_the_one_of_a_failed_login),
        TEST_OPEN(test_pin_from_a_prompt_is_kept_for_the_next_login),
        TEST_OPEN(test_kept_pin_that_is_refused_is_not_sent_again),
        TEST_OPEN(test_next_login_takes_the_pin_that_the_file_has_now),
        TEST_OPEN(test_file_with_a_wrong_pin_costs_one_try_and_no_login),
        TEST_OPEN(test_pin_that_was_good_is_kept_until_another_one_is),
        TEST_OPEN(test_login_waits_for_the_file_when_the_pin_was_changed),
        TEST_OPEN(test_last_try_is_left_though_the_file_has_another_pin),
        TEST_OPEN(test_pin_for_one_signature_is_the_one_that_the_file_has_now),
        TEST_OPEN(test_pin_that_came_too_early_is_tried_again),
        TEST_OPEN(test_pin_that_was_refused_waits_for_another_in_the_file),
        TEST_OPEN(test_pin_does_not_go_to_a_token_in_the_place_of_another),
        TEST_OPEN(test_cloudhsm_pin_without_user_is_not_sent),
        TEST_OPEN(test_token_that_cannot_say_what_it_is_is_asked_again),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
