/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/login: a PIN that another process has tried is used from now on, or is
 * not sent.  The token counts refusals, so that what counts here is the
 * number of C_Login calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../pkcs11/login.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

#define EVERYTHING (FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES)

struct pin_file {
    struct fixture *f;
    char path[32];
};

static struct pin_file make_file(struct fixture *f)
{
    struct pin_file file = { f, "/tmp/pin-XXXXXX" };
    int fd = mkstemp(file.path);

    assert_true(fd >= 0);
    close(fd);
    return file;
}

/* Into the file; the token's, too, if it is told. */
static void write_pin(const struct pin_file *file, const char *pin, bool told)
{
    int fd = open(file->path, O_WRONLY | O_TRUNC);
    size_t len = strlen(pin);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, pin, len), len);
    close(fd);
    if (told)
        memcpy(file->f->fake->slots[0].pin, pin, len + 1);
}

static size_t logins(struct fixture *f)
{
    return fake_count(f->fake, "C_Login");
}

static CK_RV change_pin(struct fixture *f, enum p11_pin_kind kind,
                        const char *name, const char *text)
{
    struct p11_slot *slot = fixture_slot(f);
    struct p11_pin_source source = { 0 };
    const struct p11_pin_request request = { .config = &source };
    struct p11_pin *pin =
        p11_pin_new((const unsigned char *)text, strlen(text));
    struct p11_session *session = NULL;
    CK_RV rv;

    assert_non_null(pin);
    if (kind != P11_PIN_NONE)
        assert_rv(f, p11_pin_source_set(kind, name, "option", &source, &f->err),
                  CKR_OK);
    assert_rv(f, p11_session_borrow(slot, &session, &f->err), CKR_OK);
    rv = p11_slot_change_pin(slot, session, pin, &request, &f->err);
    p11_session_give_back(slot, session, rv);
    p11_pin_source_clear(&source);
    p11_pin_free(pin);
    return rv;
}

static void test_changed_pin_is_that_of_its_new_file(void **state)
{
    struct fixture *f = *state;
    struct pin_file file = make_file(f);

    write_pin(&file, "second", true);
    assert_rv(f, change_pin(f, P11_PIN_FILE, file.path, "second"), CKR_OK);
    assert_false(fake_logged_in(f->fake, 0));
    assert_signs(f);
    assert_int_equal(logins(f), 1);
    write_pin(&file, "third", true);
    fake_lose(f->fake, EVERYTHING);
    assert_signs(f);
    assert_int_equal(logins(f), 2);
    unlink(file.path);
}

/* Nor is the file of before asked, nor what a later load comes with. */
static void test_changed_pin_may_have_no_file(void **state)
{
    struct fixture *f = *state;
    struct pin_file file = make_file(f);
    struct p11_key *key = NULL;

    write_pin(&file, PIN, false);
    assert_rv(f, change_pin(f, P11_PIN_FILE, file.path, PIN), CKR_OK);
    assert_signs(f);
    memcpy(f->fake->slots[0].pin, "second", 7);
    assert_rv(f, change_pin(f, P11_PIN_LITERAL, "second", "second"), CKR_OK);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_OK);
    p11_key_free(key);
    assert_int_equal(logins(f), 2);
    write_pin(&file, "wrong", false);
    fake_lose(f->fake, EVERYTHING);
    assert_signs(f);
    assert_int_equal(logins(f), 3);
    unlink(file.path);
}

/* The configuration has lost it since it was tried. */
static void test_changed_pin_may_have_no_source(void **state)
{
    struct fixture *f = *state;

    memcpy(f->fake->slots[0].pin, "second", 7);
    assert_rv(f, change_pin(f, P11_PIN_NONE, NULL, "second"), CKR_OK);
    assert_signs(f);
    assert_int_equal(logins(f), 1);
}

/* Where nobody is logged out the next login has the new PIN all the same. */
static void test_failed_logout_is_said_and_changes_the_pin(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_Logout", CKR_DEVICE_ERROR, 1, 1);
    assert_rv(f, change_pin(f, P11_PIN_LITERAL, "second", "second"),
              CKR_DEVICE_ERROR);
    assert_signs(f);
    /* It answers that somebody is logged in. */
    assert_int_equal(logins(f), 1);
    memcpy(f->fake->slots[0].pin, "second", 7);
    fake_lose(f->fake, EVERYTHING);
    assert_signs(f);
    assert_int_equal(logins(f), 2);
}

/* A token that does not know it yet; later it may be the good one. */
static void test_changed_pin_may_have_been_refused(void **state)
{
    struct fixture *f = *state;
    struct pin_file file = make_file(f);

    write_pin(&file, "second", false);
    assert_rv(f, change_pin(f, P11_PIN_FILE, file.path, "second"), CKR_OK);
    assert_signs(f);
    assert_int_equal(logins(f), 2);
    write_pin(&file, "second", true);
    assert_rv(f, change_pin(f, P11_PIN_FILE, file.path, "second"), CKR_OK);
    assert_signs(f);
    assert_int_equal(logins(f), 3);
    unlink(file.path);
}

/* Another process has found out, and the token counts. */
static void test_pin_that_is_known_to_be_refused_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct pin_file file = make_file(f);
    struct p11_pin *wrong = p11_pin_new((const unsigned char *)"wrong", 5);

    assert_non_null(wrong);
    write_pin(&file, PIN, false);
    assert_rv(f, change_pin(f, P11_PIN_FILE, file.path, PIN), CKR_OK);
    assert_signs(f);
    write_pin(&file, "wrong", false);
    p11_slot_refuse_pin(fixture_slot(f), wrong);
    p11_slot_refuse_pin(fixture_slot(f), wrong);
    fake_lose(f->fake, EVERYTHING);
    assert_signs(f);
    assert_int_equal(logins(f), 2);
    p11_pin_free(wrong);
    unlink(file.path);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST_KEY(test_changed_pin_is_that_of_its_new_file),
        TEST_KEY(test_changed_pin_may_have_no_file),
        TEST_KEY(test_changed_pin_may_have_no_source),
        TEST_KEY(test_failed_logout_is_said_and_changes_the_pin),
        TEST_KEY(test_changed_pin_may_have_been_refused),
        TEST_KEY(test_pin_that_is_known_to_be_refused_is_not_sent),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
