/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/slot: the one token that a URI names, among none, one and many, some
 * of which come and go; and what finding it costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fixture.h"

#define LOOK "C_GetSlotList C_GetSlotList"

/* The URI names the token with this serial number. */
static void assert_finds(struct fixture *f, const char *uri, const char *serial)
{
    struct p11_slot *slot;
    char padded[17];

    assert_rv(f, fixture_find(f, uri, &slot), CKR_OK);
    (void)snprintf(padded, sizeof(padded), "%-16s", serial);
    assert_memory_equal(slot->token.serialNumber, padded, 16);
}

static void assert_finds_none(struct fixture *f, const char *uri)
{
    struct p11_slot *slot;

    assert_rv(f, fixture_find(f, uri, &slot), P11_NO_TOKEN);
    assert_int_equal(f->err.rv, P11_NO_TOKEN);
}

static void test_no_slot_and_no_token_are_no_token(void **state)
{
    struct fixture *f = *state;

    f->fake->slots[0].token_present = false;
    assert_finds_none(f, "pkcs11:token=fake");
    assert_text(f, "none");
    assert_text(f, "token=fake");
    assert_text(f, f->path);
    f->fake->n_slots = 0;
    assert_finds_none(f, "pkcs11:object=signer");
}

static void test_one_token_needs_no_name(void **state)
{
    struct fixture *f = *state;

    fake_calls_reset(f->fake);
    assert_finds(f, "pkcs11:object=signer", "1");
    assert_calls(f, LOOK " C_GetTokenInfo");
    assert_finds(f, "pkcs11:", "1");
}

static void test_known_token_costs_no_call(void **state)
{
    struct fixture *f = *state;

    assert_finds(f, "pkcs11:token=fake", "1");
    fake_calls_reset(f->fake);
    assert_finds(f, "pkcs11:token=fake;serial=1", "1");
    assert_no_call(f);
}

static void add_slots(struct fixture *f)
{
    (void)snprintf(fake_add_slot(f->fake, "blue", "22")->model, 17, "mark 2");
    (void)snprintf(fake_add_slot(f->fake, "blue", "33")->manufacturer, 33,
                   "others");
}

static void test_one_of_many_is_found_by_each_attribute(void **state)
{
    static const struct {
        const char *uri, *serial;
    } rows[] = {
        { "pkcs11:token=fake", "1" },
        { "pkcs11:serial=22", "22" },
        { "pkcs11:token=blue;serial=33", "33" },
        { "pkcs11:model=mark%202", "22" },
        { "pkcs11:manufacturer=others", "33" },
        { "pkcs11:token=blue;manufacturer=hsmsign%20tests", "22" },
        { "pkcs11:slot-id=3", "33" },
        { "pkcs11:slot-id=2;token=blue", "22" },
    };
    struct fixture *f = *state;

    add_slots(f);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_finds(f, rows[i].uri, rows[i].serial);
}

static void test_no_match_among_many_names_those_that_are_there(void **state)
{
    static const char *const uris[] = {
        "pkcs11:token=Fake",
        "pkcs11:token=fak",
        "pkcs11:token=fake2",
        "pkcs11:token=fake;serial=22",
        "pkcs11:slot-id=9",
        "pkcs11:model=mark%203",
        "pkcs11:slot-id=2;token=fake",
        "pkcs11:token=",
    };
    struct fixture *f = *state;

    add_slots(f);
    for (size_t i = 0; i < COUNT(uris); i++) {
        assert_finds_none(f, uris[i]);
        assert_text(f, "\"fake\"");
        assert_text(f, "\"blue\"");
    }
}

static void test_several_matches_are_an_error_that_names_them(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    add_slots(f);
    assert_rv(f, fixture_find(f, "pkcs11:token=blue", &slot), P11_MANY_TOKENS);
    assert_text(f, "2 tokens");
    assert_text(f, "token=blue");
    assert_text(f, "serial=");
    assert_rv(f, fixture_find(f, "pkcs11:object=x", &slot), P11_MANY_TOKENS);
    assert_text(f, "3 tokens");
}

static void test_label_is_shown_without_padding_and_control_bytes(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    memcpy(f->fake->slots[0].label, "a\033b  ", 6);
    assert_rv(f, fixture_find(f, "pkcs11:serial=1", &slot), CKR_OK);
    assert_string_equal(slot->label, "a?b");
    assert_string_equal(slot->where, "token \"a?b\"");
    /* Nor is anything cut off where the field is full. */
    (void)fake_add_slot(f->fake, "0123456789012345678901234567890x", "2");
    assert_rv(f, fixture_find(f, "pkcs11:serial=2", &slot), CKR_OK);
    assert_string_equal(slot->label, "0123456789012345678901234567890x");
    assert_string_equal(slot->where,
                        "token \"0123456789012345678901234567890x\"");
}

static void test_label_and_serial_padded_with_nul_are_found(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    memset(f->fake->slots[0].label, 0, sizeof(f->fake->slots[0].label));
    assert_rv(f, fixture_find(f, "pkcs11:serial=1", &slot), CKR_OK);
    assert_string_equal(slot->label, "");
}

static void
test_uninitialised_and_unreadable_tokens_are_passed_over(void **state)
{
    struct fixture *f = *state;

    add_slots(f);
    f->fake->slots[0].flags &= ~(CK_FLAGS)CKF_TOKEN_INITIALIZED;
    fake_fail(f->fake, "C_GetTokenInfo", CKR_TOKEN_NOT_RECOGNIZED, 2, 1);
    assert_finds(f, "pkcs11:object=signer", "33");
}

static void test_token_that_appears_later_is_found(void **state)
{
    struct fixture *f = *state;

    assert_finds(f, "pkcs11:token=fake", "1");
    assert_finds_none(f, "pkcs11:token=blue");
    add_slots(f);
    assert_finds(f, "pkcs11:serial=22", "22");
    assert_finds(f, "pkcs11:token=fake", "1");
}

static void test_token_in_the_place_of_another_is_another(void **state)
{
    struct fixture *f = *state;
    struct fake_slot *slot = &f->fake->slots[0];
    struct p11_slot *old = fixture_slot(f), *new;

    memcpy(slot->serial, "2", 2);
    assert_finds(f, "pkcs11:serial=2", "2");
    assert_finds_none(f, "pkcs11:serial=1");
    assert_rv(f, fixture_find(f, "pkcs11:token=fake", &new), CKR_OK);
    assert_ptr_not_equal(new, old);
    /* And back again. */
    memcpy(slot->serial, "1", 2);
    assert_finds(f, "pkcs11:serial=1", "1");
    assert_rv(f, fixture_find(f, "pkcs11:token=fake", &new), CKR_OK);
    assert_ptr_equal(new, old);
}

static void test_removed_token_is_gone_at_the_next_look(void **state)
{
    struct fixture *f = *state;

    add_slots(f);
    assert_finds(f, "pkcs11:serial=33", "33");
    f->fake->slots[2].token_present = false;
    assert_finds_none(f, "pkcs11:token=elsewhere"); /* looks */
    assert_finds(f, "pkcs11:token=blue", "22");
    assert_finds_none(f, "pkcs11:serial=33");
}

static void test_token_that_moves_to_another_slot_is_used_there(void **state)
{
    struct fixture *f = *state;

    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    p11_key_free(f->key);
    f->fake->slots[0].token_present = false;
    fake_lose(f->fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    (void)fake_add_slot(f->fake, "fake", "1");
    (void)fake_add_key(f->fake, 1, &fixture_rsa);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    assert_signs(f);
}

static void test_slot_attributes_cost_a_call_only_when_asked_for(void **state)
{
    static const struct {
        const char *uri;
        CK_RV rv;
        size_t calls; /* of C_GetSlotInfo */
    } rows[] = {
        { "pkcs11:token=fake", CKR_OK, 0 },
        { "pkcs11:token=fake;slot-description=fake%20slot", CKR_OK, 1 },
        { "pkcs11:slot-manufacturer=makers;serial=33", CKR_OK, 1 },
        /* Of the tokens that do not match otherwise nobody asks. */
        { "pkcs11:slot-description=fake%20slot;serial=9", P11_NO_TOKEN, 0 },
        { "pkcs11:slot-manufacturer=makers", CKR_OK, 3 },
        { "pkcs11:slot-manufacturer=nobody;serial=1", P11_NO_TOKEN, 2 },
    };
    struct fixture *f = *state;
    struct p11_slot *slot;

    add_slots(f);
    (void)snprintf(f->fake->slots[2].slot_manufacturer, 33, "makers");
    assert_finds(f, "pkcs11:serial=1", "1"); /* looks */
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_calls_reset(f->fake);
        assert_rv(f, fixture_find(f, rows[i].uri, &slot), rows[i].rv);
        assert_int_equal(fake_count(f->fake, "C_GetSlotInfo"), rows[i].calls);
    }
    fake_fail(f->fake, "C_GetSlotInfo", CKR_DEVICE_ERROR, 1, 0);
    assert_rv(f, fixture_find(f, "pkcs11:slot-manufacturer=makers", &slot),
              CKR_DEVICE_ERROR);
    assert_text(f, "C_GetSlotInfo");
}

static void
test_library_attributes_cost_a_call_only_when_asked_for(void **state)
{
    static const struct {
        const char *uri;
        CK_RV rv;
        size_t calls; /* of C_GetInfo */
    } rows[] = {
        { "pkcs11:token=fake", CKR_OK, 0 },
        { "pkcs11:library-manufacturer=hsmsign%20tests", CKR_OK, 1 },
        { "pkcs11:library-version=1.2", CKR_OK, 1 },
        { "pkcs11:library-version=1.3", P11_NO_TOKEN, 2 },
    };
    struct fixture *f = *state;
    struct p11_slot *slot;

    assert_finds(f, "pkcs11:serial=1", "1"); /* looks */
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_calls_reset(f->fake);
        assert_rv(f, fixture_find(f, rows[i].uri, &slot), rows[i].rv);
        assert_int_equal(fake_count(f->fake, "C_GetInfo"), rows[i].calls);
    }
    fake_fail(f->fake, "C_GetInfo", CKR_FUNCTION_NOT_SUPPORTED, 1, 0);
    assert_rv(f, fixture_find(f, "pkcs11:library-version=1.2", &slot),
              CKR_FUNCTION_NOT_SUPPORTED);
    assert_text(f, "C_GetInfo");
}

static void test_failing_list_of_slots_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    for (unsigned long at = 1; at <= 2; at++) {
        fake_fail(f->fake, "C_GetSlotList", CKR_DEVICE_ERROR, at, 1);
        assert_rv(f, fixture_find(f, "pkcs11:", &slot), CKR_DEVICE_ERROR);
        assert_text(f, "C_GetSlotList");
        fake_fail_none(f->fake);
    }
    assert_finds(f, "pkcs11:", "1");
}

static void test_token_plugged_in_during_the_look_is_no_error(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    fake_fail(f->fake, "C_GetSlotList", CKR_BUFFER_TOO_SMALL, 2, 1);
    assert_finds(f, "pkcs11:", "1");
    fake_fail_none(f->fake);
    /* One that never gets ready does not keep us for ever. */
    fake_fail(f->fake, "C_GetSlotList", CKR_BUFFER_TOO_SMALL, 1, 0);
    assert_rv(f, fixture_find(f, "pkcs11:serial=2", &slot),
              CKR_BUFFER_TOO_SMALL);
}

static CK_RV list_with_wrong_count(CK_BBOOL present, CK_SLOT_ID *slots,
                                   CK_ULONG *count)
{
    (void)present;
    if (slots != NULL)
        slots[0] = 1;
    *count = slots == NULL ? 1 : 1000;
    return CKR_OK;
}

static void test_count_of_slots_beyond_the_room_is_not_believed(void **state)
{
    struct fixture *f = *state;

    f->fake->list.C_GetSlotList = list_with_wrong_count;
    assert_finds(f, "pkcs11:", "1");
    assert_int_equal(fake_count(f->fake, "C_GetTokenInfo"), 1);
}

static void look_or_watch(struct fixture *f, size_t i)
{
    struct p11_slot *slot = f->module->slots;
    struct p11_uri *uri = NULL;
    struct p11_error err;

    if (i > 0) {
        while (!atomic_load(&f->done)) {
            if (!atomic_load(&slot->present))
                fixture_failed(f, "gone for a moment", NULL);
        }
        return;
    }
    if (p11_uri_parse("pkcs11:token=x", &uri, &err) != CKR_OK)
        fixture_failed(f, "parse", &err);
    for (int n = 0; n < 20000; n++) {
        if (p11_slot_find(f->module, uri, &slot, &err) != P11_NO_TOKEN)
            fixture_failed(f, "find", &err);
        /* A log of all these calls is nobody's interest. */
        if (n % 1000 == 0)
            fake_calls_reset(f->fake);
    }
    atomic_store(&f->done, true);
    p11_uri_free(uri);
}

/* Who matches in such a moment would answer that there is no such token. */
static void test_token_does_not_vanish_while_another_thread_looks(void **state)
{
    struct fixture *f = *state;

    (void)fixture_slot(f);
    fixture_threads(f, 2, look_or_watch);
    fixture_assert_no_failure(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(test_no_slot_and_no_token_are_no_token),
        TEST_OPEN(test_one_token_needs_no_name),
        TEST_OPEN(test_known_token_costs_no_call),
        TEST_OPEN(test_one_of_many_is_found_by_each_attribute),
        TEST_OPEN(test_no_match_among_many_names_those_that_are_there),
        TEST_OPEN(test_several_matches_are_an_error_that_names_them),
        TEST_OPEN(test_label_is_shown_without_padding_and_control_bytes),
        TEST_OPEN(test_label_and_serial_padded_with_nul_are_found),
        TEST_OPEN(test_uninitialised_and_unreadable_tokens_are_passed_over),
        TEST_OPEN(test_token_that_appears_later_is_found),
        TEST_OPEN(test_token_in_the_place_of_another_is_another),
        TEST_OPEN(test_removed_token_is_gone_at_the_next_look),
        TEST_OPEN(test_token_that_moves_to_another_slot_is_used_there),
        TEST_OPEN(test_slot_attributes_cost_a_call_only_when_asked_for),
        TEST_OPEN(test_library_attributes_cost_a_call_only_when_asked_for),
        TEST_OPEN(test_failing_list_of_slots_is_an_error),
        TEST_OPEN(test_token_plugged_in_during_the_look_is_no_error),
        TEST_OPEN(test_count_of_slots_beyond_the_room_is_not_believed),
        TEST_OPEN(test_token_does_not_vanish_while_another_thread_looks),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
