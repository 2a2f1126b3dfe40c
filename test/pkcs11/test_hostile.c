/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that lies: lengths, counts, answers that change, answers without
 * end.  fuzz/fuzz_token.c finds such answers; those that are known are here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/object.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

/* More calls than anything here takes; then the token gives in. */
#define MANY 5000

static const struct p11_uri anything; /* all that there is */
static unsigned calls;                /* of what a test looks at */

static int setup(void **state)
{
    calls = 0;
    return fixture_setup_key(state);
}

#define TEST_HOSTILE(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

/* Three sessions are lost, then it is busy for ever. */
static CK_RV changes(void)
{
    calls++;
    return calls <= 3     ? CKR_SESSION_HANDLE_INVALID
           : calls > MANY ? CKR_GENERAL_ERROR
                          : CKR_FUNCTION_FAILED;
}

static CK_RV sign_init_changes(CK_SESSION_HANDLE session,
                               CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    return changes();
}

static CK_RV find_init_changes(CK_SESSION_HANDLE session, CK_ATTRIBUTE *tmpl,
                               CK_ULONG n)
{
    (void)session;
    (void)tmpl;
    (void)n;
    return changes();
}

static void test_recovery_ends_though_the_answers_change(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    f->fake->list.C_SignInit = sign_init_changes;
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_FUNCTION_FAILED);
    assert_in_range(calls, 4, 10);
    calls = 0;
    f->fake->list.C_FindObjectsInit = find_init_changes;
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err), CKR_FUNCTION_FAILED);
    assert_in_range(calls, 4, 10);
}

/* What this project calls the end of its patience, said by a token. */
static CK_RV open_session_ours(CK_SLOT_ID slot, CK_FLAGS flags, void *arg,
                               CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    (void)slot;
    (void)flags;
    (void)arg;
    (void)notify;
    (void)session;
    return ++calls > MANY ? CKR_DEVICE_MEMORY : P11_SESSION_WAIT;
}

static CK_RV find_init_ours(CK_SESSION_HANDLE session, CK_ATTRIBUTE *tmpl,
                            CK_ULONG n)
{
    (void)session;
    (void)tmpl;
    (void)n;
    return P11_NO_PIN;
}

static void test_token_does_not_speak_for_us(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_objects objects = { 0 };
    struct p11_session *session;
    const struct p11_query query = { .class = CKO_CERTIFICATE,
                                     .uri = &anything,
                                     .login = P11_LOGIN_ALWAYS };

    f->fake->list.C_FindObjectsInit = find_init_ours;
    assert_rv(f, p11_objects_search(slot, &query, &objects, &f->err),
              CKR_GENERAL_ERROR);
    assert_text(f, "C_FindObjectsInit: CKR_GENERAL_ERROR");
    /* The idle one is taken: another is wanted. */
    assert_rv(f, p11_session_borrow(slot, &session, &f->err), CKR_OK);
    f->fake->list.C_OpenSession = open_session_ours;
    assert_rv(f, fixture_sign(f->key, LABEL, &f->err), CKR_GENERAL_ERROR);
    assert_int_equal(calls, 1);
    p11_session_give_back(slot, session, CKR_OK);
}

/* Whatever is asked for, there is one more. */
static CK_RV find_endlessly(CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE *objects, CK_ULONG max,
                            CK_ULONG *count)
{
    (void)session;
    for (CK_ULONG i = 0; i < max; i++)
        objects[i] = i + 1;
    *count = max;
    return ++calls > MANY ? CKR_GENERAL_ERROR : CKR_OK;
}

static void test_search_without_an_end_is_refused(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_objects objects = { 0 };
    const struct p11_query query = { .class = CKO_CERTIFICATE,
                                     .uri = &anything };

    f->fake->list.C_FindObjects = find_endlessly;
    assert_rv(f, p11_objects_search(slot, &query, &objects, &f->err),
              P11_MANY_OBJECTS);
    assert_text(f, "20000");
    assert_in_range(calls, 1, 100);
    /* It was ended: the session is as good as before. */
    assert_signs(f);
    assert_int_equal(fake_count(f->fake, "C_OpenSession"), 0);
}

static CK_ULONG slots; /* that it claims to have */

/* Counts, but lists what there is room for only. */
static CK_RV list_slots(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    (void)present;
    for (CK_ULONG i = 0; list != NULL && i < *count && i < slots; i++)
        list[i] = i;
    *count = slots;
    return CKR_OK;
}

/* A token in each of them, and a new one at each look. */
static CK_RV another_token(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    memset(info, ' ', sizeof(*info));
    calls++;
    memcpy(info->serialNumber, &calls, sizeof(calls));
    info->flags = CKF_TOKEN_INITIALIZED;
    return slot < slots ? CKR_OK : CKR_SLOT_ID_INVALID;
}

static void test_more_slots_than_there_can_be_are_refused(void **state)
{
    static const CK_ULONG claims[] = { 1025, 1UL << 28, 1UL << 31, ~0UL / 8,
                                       ~0UL };
    struct fixture *f = *state;
    struct p11_slot *slot;

    f->fake->list.C_GetSlotList = list_slots;
    f->fake->list.C_GetTokenInfo = another_token;
    for (size_t i = 0; i < COUNT(claims); i++) {
        slots = claims[i];
        assert_rv(f, fixture_find(f, "pkcs11:token=other", &slot),
                  P11_MANY_TOKENS);
        assert_text(f, "C_GetSlotList");
    }
    assert_int_equal(calls, 0);
    slots = 1023; /* and the one that it had */
    assert_rv(f, fixture_find(f, "pkcs11:token=other", &slot), P11_NO_TOKEN);
}

/* Who looks for a token that is not there must not use up memory. */
static void test_tokens_that_are_others_at_each_look_are_not_kept(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot;

    f->fake->list.C_GetSlotList = list_slots;
    f->fake->list.C_GetTokenInfo = another_token;
    slots = 500;
    assert_rv(f, fixture_find(f, "pkcs11:token=other", &slot), P11_NO_TOKEN);
    assert_rv(f, fixture_find(f, "pkcs11:token=other", &slot), P11_NO_TOKEN);
    assert_rv(f, fixture_find(f, "pkcs11:token=other", &slot), P11_MANY_TOKENS);
    assert_text(f, "restart");
    slots = 0;
    for (slot = f->module->slots; slot != NULL; slot = slot->next)
        slots++;
    assert_int_equal(slots, 1024);
    assert_signs(f);
}

static CK_RV find_and_write_nothing(CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE *objects, CK_ULONG max,
                                    CK_ULONG *count)
{
    (void)session;
    (void)objects;
    *count = max < 1 ? max : 1;
    return CKR_OK;
}

static CK_OBJECT_HANDLE asked_of; /* the object of the last call */

static CK_RV attributes_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE *attrs, CK_ULONG n)
{
    (void)session;
    (void)attrs;
    (void)n;
    asked_of = object;
    return CKR_OBJECT_HANDLE_INVALID;
}

static void test_handle_that_was_not_written_is_none(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_objects objects = { 0 };
    const struct p11_query query = { .class = CKO_CERTIFICATE,
                                     .uri = &anything };
    struct p11_key *key;

    f->fake->list.C_FindObjects = find_and_write_nothing;
    f->fake->list.C_GetAttributeValue = attributes_of;
    asked_of = 1;
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err),
              CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(asked_of, CK_INVALID_HANDLE);
    asked_of = 1;
    assert_rv(f, p11_objects_search(slot, &query, &objects, &f->err), CKR_OK);
    assert_int_equal(objects.count, 1);
    assert_int_equal(objects.object[0].handle, CK_INVALID_HANDLE);
    p11_objects_clear(&objects);
}

static size_t written; /* of each signature, in bytes */

/* As long as there is room, it says. */
static CK_RV sign_less(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                       CK_BYTE *sig, CK_ULONG *sig_len)
{
    (void)session;
    (void)len;
    (void)data;
    memset(sig, 0x77, written < *sig_len ? written : *sig_len);
    return CKR_OK;
}

/* It would be published: what was in the program's memory must not be in it. */
static void
test_signature_has_nothing_that_the_token_did_not_write(void **state)
{
    struct fixture *f = *state;
    const CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
    unsigned char sig[256];
    size_t len;

    f->fake->list.C_Sign = sign_less;
    for (written = 0; written <= sizeof(sig); written += 32) {
        memset(sig, 0xa5, sizeof(sig));
        len = sizeof(sig);
        assert_rv(f,
                  p11_key_sign(f->key, &mechanism, (const unsigned char *)"x",
                               1, sig, &len, &f->err),
                  CKR_OK);
        assert_int_equal(len, sizeof(sig));
        for (size_t i = 0; i < sizeof(sig); i++)
            assert_int_equal(sig[i], i < written ? 0x77 : 0);
    }
}

/* What a token may make of each attribute that it is asked for. */
static const struct lie {
    const char *what;
    CK_RV rv;
    CK_ULONG
    len; /* that it claims; 0: what there was room for, and this more */
    CK_ULONG more;
} lies[] = {
    { "2 GB, and all is well", CKR_OK, 0x7fffffff, 0 },
    { "2 GB, which is too much", CKR_BUFFER_TOO_SMALL, 0x7fffffff, 0 },
    { "4 GB", CKR_OK, 0xffffffff, 0 },
    { "-1, and all is well", CKR_OK, ~0UL, 0 },
    { "-1, because there is none", CKR_ATTRIBUTE_TYPE_INVALID, ~0UL, 0 },
    { "-1, because it is secret", CKR_ATTRIBUTE_SENSITIVE, ~0UL, 0 },
    { "-2", CKR_OK, ~0UL - 1, 0 },
    { "the largest positive number", CKR_OK, ~0UL >> 1, 0 },
    { "one more than there is room for", CKR_OK, 0, 1 },
    { "one more, which is too much", CKR_BUFFER_TOO_SMALL, 0, 1 },
};

static const struct lie *told;

static CK_RV attributes_lie(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE *attrs, CK_ULONG n)
{
    (void)session;
    (void)object;
    calls++;
    for (CK_ULONG i = 0; i < n; i++) {
        /* All the room that was promised is there. */
        memset(attrs[i].pValue, 0x5a, attrs[i].ulValueLen);
        attrs[i].ulValueLen =
            told->len != 0 ? told->len : attrs[i].ulValueLen + told->more;
    }
    return told->rv;
}

static void
test_length_that_is_a_lie_is_an_attribute_that_is_absent(void **state)
{
    struct fixture *f = *state;
    struct p11_key *key;

    f->fake->list.C_GetAttributeValue = attributes_lie;
    for (size_t i = 0; i < COUNT(lies); i++) {
        told = &lies[i];
        calls = 0;
        if (fixture_load(f, URI, PIN, &key, &f->err) != CKR_OK)
            fail_msg("%s: %s", lies[i].what, f->err.text);
        for (size_t n = 0; n < p11_key_attrs(key)->count; n++) {
            if (p11_key_attrs(key)->attr[n].ulValueLen != 0)
                fail_msg("%s: believed", lies[i].what);
        }
        if (calls > 2)
            fail_msg("%s: %u calls", lies[i].what, calls);
        p11_key_free(key);
    }
}

static CK_ULONG sign_claims; /* the length of each signature */

static CK_RV sign_claiming(CK_SESSION_HANDLE session, CK_BYTE *data,
                           CK_ULONG len, CK_BYTE *sig, CK_ULONG *sig_len)
{
    (void)session;
    (void)data;
    (void)len;
    memset(sig, 0x77, *sig_len);
    *sig_len = sign_claims;
    return CKR_OK;
}

static void test_signature_longer_than_its_buffer_is_none(void **state)
{
    static const CK_ULONG claims[] = { 257, 1UL << 31, 0xffffffff, ~0UL };
    struct fixture *f = *state;
    const CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
    unsigned char sig[256];
    size_t len = sizeof(sig);

    f->fake->list.C_Sign = sign_claiming;
    for (size_t i = 0; i < COUNT(claims); i++) {
        sign_claims = claims[i];
        assert_rv(f,
                  p11_key_sign(f->key, &mechanism, (const unsigned char *)"x",
                               1, sig, &len, &f->err),
                  CKR_GENERAL_ERROR);
        assert_text(f, "C_Sign");
        assert_int_equal(len, sizeof(sig));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_HOSTILE(test_recovery_ends_though_the_answers_change),
        TEST_HOSTILE(test_token_does_not_speak_for_us),
        TEST_HOSTILE(test_search_without_an_end_is_refused),
        TEST_HOSTILE(test_more_slots_than_there_can_be_are_refused),
        TEST_HOSTILE(test_tokens_that_are_others_at_each_look_are_not_kept),
        TEST_HOSTILE(test_handle_that_was_not_written_is_none),
        TEST_HOSTILE(test_signature_has_nothing_that_the_token_did_not_write),
        TEST_HOSTILE(test_length_that_is_a_lie_is_an_attribute_that_is_absent),
        TEST_HOSTILE(test_signature_longer_than_its_buffer_is_none),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
