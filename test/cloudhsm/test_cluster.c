/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's cluster and certificates, rule by rule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sim_test.h"

static unsigned long since(unsigned long before)
{
    return sim_test_clock - before;
}

static void test_find_asks_every_hsm(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("hsms=3,latency=1ms");
    unsigned long before = sim_test_clock;

    (void)state;
    (void)sim_test_count(session, NULL, 0, NULL);
    assert_int_equal(since(before), 3000);
    sim_test_stop(state);
    session = sim_test_begin("hsms=3,latency=1ms,hsm2m=off");
    before = sim_test_clock;
    (void)sim_test_count(session, NULL, 0, NULL);
    assert_int_equal(since(before), 1000);
}

static void test_round_trips_take_their_time(void **state)
{
    static const struct {
        const char *switches;
        CK_MECHANISM_TYPE type;
        unsigned long init, sign;
    } rows[] = {
        { "latency=1ms", CKM_RSA_PKCS, 0, 1000 },
        { "latency=1ms", CKM_SHA256_RSA_PKCS, 1000, 1000 },
        { "latency=1ms,validate-key=off", CKM_SHA256_RSA_PKCS, 0, 1000 },
        { "latency=3ms", CKM_RSA_X_509, 0, 3000 },
    };
    CK_BYTE data[256] = "";
    CK_BYTE sig[256];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        CK_SESSION_HANDLE session = sim_test_begin(rows[i].switches);
        CK_MECHANISM mechanism = { rows[i].type, NULL, 0 };
        CK_OBJECT_HANDLE key = sim_test_find(session, "rsa_private");
        CK_ATTRIBUTE templ[] = { { CKA_LABEL, sig, sizeof(sig) },
                                 { CKA_MODULUS, sig, sizeof(sig) } };
        CK_ULONG n = 0;
        unsigned long before = sim_test_clock;

        assert_int_equal(p11->C_GetAttributeValue(session, key, templ, 2),
                         CKR_OK);
        assert_int_equal(since(before), rows[i].sign);
        before = sim_test_clock;
        assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
        assert_int_equal(since(before), rows[i].init);
        assert_int_equal(p11->C_Sign(session, data, 256, NULL, &n), CKR_OK);
        assert_int_equal(since(before), rows[i].init);
        if (rows[i].type != CKM_RSA_PKCS)
            assert_int_equal(p11->C_Sign(session, data, 256, sig, &n), CKR_OK);
        else
            assert_int_equal(p11->C_Sign(session, data, 32, sig, &n), CKR_OK);
        assert_int_equal(since(before), rows[i].init + rows[i].sign);
        sim_test_stop(state);
    }
}

/* How many signatures there are in a second. */
static unsigned long rate(CK_SESSION_HANDLE session, bool rsa, CK_RV busy)
{
    unsigned long n = 0;
    CK_RV rv = CKR_OK;

    sim_test_clock += SECOND;
    while ((rv = sim_sign_rate(rsa)) == CKR_OK && n < 10000)
        n++;
    assert_int_equal(rv, busy);
    /* The same by C_Sign, at both ends of a second. */
    if (!rsa) {
        assert_int_equal(sim_test_ec_sign(session), busy);
        sim_test_clock += SECOND;
        assert_int_equal(sim_test_ec_sign(session), CKR_OK);
    }
    return n;
}

static void test_rates_are_as_published(void **state)
{
    static const struct {
        const char *switches;
        unsigned long ec, rsa;
    } rows[] = {
        { "latency=0us,hsms=1,availability-check=off", 1500, 1000 },
        { "latency=0us", 3000, 2000 },
        { "latency=0us,hsms=3", 4500, 3000 },
        { "latency=0us,hsms=6", 7000, 5000 },
        { "latency=0us,hsms=6,hsm2m=off", 1500, 5000 },
        { "latency=0us,hsm2m=off", 500, 2000 },
        { "latency=0us,hsms=4,hsm2m=off", 1000, 3666 },
    };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        session = sim_test_begin(rows[i].switches);
        assert_int_equal(rate(session, true, CKR_FUNCTION_FAILED), rows[i].rsa);
        assert_int_equal(rate(session, false, CKR_FUNCTION_FAILED), rows[i].ec);
        sim_test_stop(state);
    }
    session = sim_test_begin("throttle=off,latency=0us");
    for (int i = 0; i < 10000; i++)
        assert_int_equal(sim_sign_rate(false), CKR_OK);
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
}

static void test_busy_may_be_operation_active(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("strict,latency=0us");

    (void)state;
    assert_int_equal(rate(session, false, CKR_OPERATION_ACTIVE), 3000);
}

static void test_one_hsm_is_too_few_for_token_keys(void **state)
{
    CK_BBOOL yes = CK_TRUE;
    const CK_ATTRIBUTE sign = { CKA_SIGN, &yes, sizeof(yes) };
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_OBJECT_HANDLE keys[2];
    CK_SESSION_HANDLE session = sim_test_begin("hsms=1");

    (void)state;
    assert_int_equal(sim_test_ec_sign(session), CKR_FUNCTION_FAILED);
    /* A session key is not asked for elsewhere. */
    assert_int_equal(sim_test_make_ec(session, NULL, 0, &sign, 1, keys),
                     CKR_OK);
    assert_int_equal(p11->C_SignInit(session, &mechanism, keys[1]), CKR_OK);
    assert_int_equal(sim_test_sign(session), CKR_OK);
    sim_test_stop(state);
    session = sim_test_begin("hsms=1,availability-check=off");
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
}

static void test_fresh_key_fails_until_it_is_on_two_hsms(void **state)
{
    CK_BBOOL yes = CK_TRUE;
    const CK_ATTRIBUTE private[] = { { CKA_SIGN, &yes, sizeof(yes) },
                                     { CKA_TOKEN, &yes, sizeof(yes) } };
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_OBJECT_HANDLE keys[2];
    CK_SESSION_HANDLE session = sim_test_begin("sync=10s,latency=0us");

    (void)state;
    assert_int_equal(sim_test_make_ec(session, NULL, 0, private, 2, keys),
                     CKR_OK);
    assert_int_equal(p11->C_SignInit(session, &mechanism, keys[1]),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
    sim_test_clock += 10 * SECOND;
    assert_int_equal(p11->C_SignInit(session, &mechanism, keys[1]), CKR_OK);
    assert_int_equal(sim_test_sign(session), CKR_OK);
    assert_int_equal(p11->C_DestroyObject(session, keys[1]), CKR_OK);
}

static void test_lost_hsm_fails_one_call(void **state)
{
    /* C_Login and a search of two HSMs make three; C_SignInit makes none. */
    CK_SESSION_HANDLE session = sim_test_begin("lose-every=4");

    (void)state;
    assert_int_equal(sim_test_ec_sign(session), CKR_FUNCTION_FAILED);
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
}

static void test_hsm_is_lost_at_a_time(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("lose-at=5s,latency=0us");
    CK_BYTE random[8];

    (void)state;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
    sim_test_clock += 5 * SECOND;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8),
                     CKR_FUNCTION_FAILED);
    sim_test_clock += 5 * SECOND;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
}

static void write_number(const char *path, int n)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fprintf(file, "%d\n", n) > 0);
    assert_int_equal(fclose(file), 0);
}

static void test_hsm_is_lost_when_the_control_file_says_so(void **state)
{
    char path[] = "/tmp/hsmsign-control-XXXXXX";
    int fd = mkstemp(path);
    char switches[64];
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_BYTE random[8];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_number(path, 7);
    assert_true(snprintf(switches, sizeof(switches), "control=%s", path) > 0);
    session = sim_test_begin(switches);
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
    write_number(path, 8);
    assert_int_equal(p11->C_GenerateRandom(session, random, 8),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
    assert_int_equal(unlink(path), 0);
}

static void test_last_hsm_lost_fails_until_replaced(void **state)
{
    CK_SESSION_HANDLE session =
        sim_test_begin("hsms=1,lose-every=2,replace=60s,latency=0us");
    CK_BYTE random[8];

    (void)state;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8),
                     CKR_FUNCTION_FAILED);
    sim_test_clock += 59 * SECOND;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8),
                     CKR_FUNCTION_FAILED);
    sim_test_clock += SECOND;
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
    sim_test_stop(state);
    /* One of two is half of the rate. */
    session = sim_test_begin("lose-every=2,replace=60s,latency=0us");
    assert_int_equal(p11->C_GenerateRandom(session, random, 8),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(p11->C_GenerateRandom(session, random, 8), CKR_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sim_sign_rate(true), CKR_OK);
    assert_int_equal(sim_sign_rate(true), CKR_FUNCTION_FAILED);
}

static void test_lost_hsm_may_take_login_and_handles(void **state)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_SESSION_HANDLE session = sim_test_begin("strict,lose-every=4");
    CK_OBJECT_HANDLE key = sim_test_find(session, "ec_private");
    CK_BYTE wrong[] = "user:passwort";

    (void)state;
    assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(sim_test_sign(session), CKR_FUNCTION_FAILED);
    assert_int_equal(p11->C_SignInit(session, &mechanism, key),
                     CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_Login(session, CKU_USER, wrong, sizeof(wrong) - 1),
                     CKR_PIN_INCORRECT);
    assert_int_equal(sim_test_login(session), CKR_OK);
    assert_int_equal(p11->C_SignInit(session, &mechanism, key),
                     CKR_KEY_HANDLE_INVALID);
    sim_test_stop(state);
    session = sim_test_begin("lose-every=4");
    key = sim_test_find(session, "ec_private");
    assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(sim_test_sign(session), CKR_FUNCTION_FAILED);
    assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
}

/* ---- certificates ---- */

static CK_ULONG count_certificates(CK_SESSION_HANDLE session,
                                   CK_OBJECT_HANDLE *first)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE templ = { CKA_CLASS, &class, sizeof(class) };

    return sim_test_count(session, &templ, 1, first);
}

static void remove_certificates(CK_SESSION_HANDLE session)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    sim_test_clock += SECOND;
    while (count_certificates(session, &object) > 0) {
        assert_int_equal(p11->C_DestroyObject(session, object), CKR_OK);
        sim_test_clock += SECOND;
    }
}

static void test_no_certificate_is_found_without_storage(void **state)
{
    static const char *const without[] = { "", "certificates=on,hsm2m=off" };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_BBOOL private = CK_TRUE;
    CK_ATTRIBUTE templ = { CKA_PRIVATE, &private, sizeof(private) };
    CK_SESSION_HANDLE session = sim_test_begin("certificates=on");

    (void)state;
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1), CKR_OK);
    assert_int_equal(count_certificates(session, &object), 1);
    assert_int_equal(p11->C_GetAttributeValue(session, object, &templ, 1),
                     CKR_OK);
    assert_false(private);
    sim_test_stop(state);
    for (size_t i = 0; i < COUNT(without); i++) {
        session = sim_test_begin(without[i]);
        assert_int_equal(count_certificates(session, NULL), 0);
        assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                         CKR_ATTRIBUTE_VALUE_INVALID);
        sim_test_stop(state);
    }
    session = sim_test_begin("strict");
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                     CKR_FUNCTION_FAILED);
    sim_test_stop(state);
    remove_certificates(sim_test_begin("certificates=on"));
}

static void test_certificate_61_is_refused(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("certificates=on");

    (void)state;
    for (int i = 0; i < 60; i++) {
        sim_test_clock += SECOND;
        assert_int_equal(sim_test_make_certificate(session, 900, 1, 1), CKR_OK);
    }
    sim_test_clock += SECOND;
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(count_certificates(session, NULL), 60);
    sim_test_stop(state);
    session = sim_test_begin("certificates=on,certificate-limit=60,"
                             "certificate-full=CKR_DEVICE_MEMORY");
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                     CKR_DEVICE_MEMORY);
    remove_certificates(session);
}

static void test_certificate_rates_are_limited(void **state)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE templ = { CKA_CLASS, &class, sizeof(class) };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_SESSION_HANDLE session =
        sim_test_begin("certificates=on,hsms=3,latency=0us");

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sim_test_make_certificate(session, 900, 1, 1), CKR_OK);
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(count_certificates(session, &object), 3);
    for (int i = 0; i < 29; i++)
        assert_int_equal(p11->C_GetAttributeValue(session, object, &templ, 1),
                         CKR_OK);
    assert_int_equal(p11->C_GetAttributeValue(session, object, &templ, 1),
                     CKR_DEVICE_ERROR);
    assert_int_equal(p11->C_FindObjectsInit(session, &templ, 1),
                     CKR_FUNCTION_FAILED);
    /* Keys have nothing to do with it. */
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
    sim_test_clock += SECOND;
    assert_int_equal(p11->C_GetAttributeValue(session, object, &templ, 1),
                     CKR_OK);
    remove_certificates(session);
    sim_test_stop(state);
    session = sim_test_begin("certificates=on,certificate-reads=1,"
                             "certificate-writes=0,latency=0us");
    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1),
                     CKR_FUNCTION_FAILED);
    assert_int_equal(count_certificates(session, NULL), 0);
}

static void test_certificates_are_limited_in_size(void **state)
{
    static const struct {
        CK_ULONG bytes, id, label;
        CK_RV rv;
    } rows[] = { { 32 * 1024, 128, 127, CKR_OK },
                 { 32 * 1024 + 1, 128, 127, CKR_ATTRIBUTE_VALUE_INVALID },
                 { 32 * 1024, 129, 127, CKR_ATTRIBUTE_VALUE_INVALID },
                 { 32 * 1024, 128, 128, CKR_ATTRIBUTE_VALUE_INVALID } };
    CK_SESSION_HANDLE session = sim_test_begin("certificates=on");

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        sim_test_clock += SECOND;
        assert_int_equal(sim_test_make_certificate(session, rows[i].bytes,
                                                   rows[i].id, rows[i].label),
                         rows[i].rv);
    }
    remove_certificates(session);
    sim_test_stop(state);
    session = sim_test_begin("strict,certificates=on");
    assert_int_equal(sim_test_make_certificate(session, 32 * 1024 + 1, 1, 1),
                     CKR_DATA_LEN_RANGE);
}

static void test_certificates_may_be_seen_before_login(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("certificates=on");

    assert_int_equal(sim_test_make_certificate(session, 900, 1, 1), CKR_OK);
    sim_test_stop(state);
    sim_test_start("certificates=on");
    assert_int_equal(count_certificates(sim_test_open(ALPHA), NULL), 1);
    sim_test_stop(state);
    sim_test_start("strict,certificates=on");
    session = sim_test_open(ALPHA);
    assert_int_equal(count_certificates(session, NULL), 0);
    assert_int_equal(sim_test_login(session), CKR_OK);
    assert_int_equal(count_certificates(session, NULL), 1);
    remove_certificates(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_find_asks_every_hsm),
        SIM_TEST(test_round_trips_take_their_time),
        SIM_TEST(test_rates_are_as_published),
        SIM_TEST(test_busy_may_be_operation_active),
        SIM_TEST(test_one_hsm_is_too_few_for_token_keys),
        SIM_TEST(test_fresh_key_fails_until_it_is_on_two_hsms),
        SIM_TEST(test_lost_hsm_fails_one_call),
        SIM_TEST(test_hsm_is_lost_at_a_time),
        SIM_TEST(test_hsm_is_lost_when_the_control_file_says_so),
        SIM_TEST(test_last_hsm_lost_fails_until_replaced),
        SIM_TEST(test_lost_hsm_may_take_login_and_handles),
        SIM_TEST(test_no_certificate_is_found_without_storage),
        SIM_TEST(test_certificate_61_is_refused),
        SIM_TEST(test_certificate_rates_are_limited),
        SIM_TEST(test_certificates_are_limited_in_size),
        SIM_TEST(test_certificates_may_be_seen_before_login),
    };

    SIM_MAIN("cloudhsm_cluster", tests);
}
