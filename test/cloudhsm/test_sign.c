/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's functions, mechanisms and signatures, rule by rule. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "sim_test.h"

#define VENDOR_EDDSA 0x80000abcUL /* any number of the vendor's range */

/* The module as a program loads it: its switches are the environment's. */
static void test_there_is_no_get_interface(void **state)
{
    const char *path = secure_getenv("HSMSIGN_CLOUDHSM");
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *list = NULL;
    CK_INFO info;
    void *module = NULL;

    (void)state;
    assert_non_null(path);
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    assert_null(dlsym(module, "C_GetInterface"));
    assert_null(dlsym(module, "C_Sign"));
    assert_null(dlsym(module, "sim_configure"));
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    assert_int_equal(get == NULL ? CKR_GENERAL_ERROR : get(&list), CKR_OK);
    assert_int_equal(list->version.major, 2);
    assert_int_equal(list->version.minor, 40);
    assert_int_equal(list->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(list->C_Initialize(NULL), CKR_OK);
    assert_int_equal(list->C_GetInfo(&info), CKR_OK);
    assert_int_equal(info.cryptokiVersion.major, 2);
    assert_int_equal(info.cryptokiVersion.minor, 40);
    assert_int_equal(list->C_Finalize(NULL), CKR_OK);
    assert_int_equal(dlclose(module), 0);
}

static void test_unlisted_functions_are_not_supported(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_OBJECT_HANDLE key = sim_test_find(session, "ec_private");
    CK_BYTE buffer[64] = "";
    CK_ULONG n = sizeof(buffer);
    CK_SLOT_ID slot = 0;
    CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
    const CK_RV answers[] = {
        p11->C_CopyObject(session, key, NULL, 0, &key),
        p11->C_GetObjectSize(session, key, &n),
        p11->C_InitToken(ALPHA, buffer, 8, buffer),
        p11->C_InitPIN(session, buffer, 8),
        p11->C_SetPIN(session, buffer, 8, buffer, 8),
        p11->C_GetOperationState(session, buffer, &n),
        p11->C_SetOperationState(session, buffer, n, 0, 0),
        p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL),
        p11->C_SignRecoverInit(session, &mechanism, key),
        p11->C_SignRecover(session, buffer, 1, buffer, &n),
        p11->C_VerifyRecoverInit(session, &mechanism, key),
        p11->C_VerifyRecover(session, buffer, 1, buffer, &n),
        p11->C_DigestKey(session, key),
        p11->C_DigestEncryptUpdate(session, buffer, 1, buffer, &n),
        p11->C_DecryptDigestUpdate(session, buffer, 1, buffer, &n),
        p11->C_SignEncryptUpdate(session, buffer, 1, buffer, &n),
        p11->C_DecryptVerifyUpdate(session, buffer, 1, buffer, &n),
        p11->C_SeedRandom(session, buffer, 1),
        p11->C_GetFunctionStatus(session),
        p11->C_CancelFunction(session),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++)
        assert_int_equal(answers[i], CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(p11->C_GenerateRandom(session, buffer, 8), CKR_OK);
    sim_test_stop(state);
    session = sim_test_begin("not-listed=CKR_OK");
    assert_int_equal(p11->C_SeedRandom(session, buffer, 1), CKR_OK);
}

static void test_keys_keep_their_attributes(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_ATTRIBUTE label = { CKA_LABEL, "ec_private", 10 };

    (void)state;
    assert_int_equal(
        p11->C_SetAttributeValue(session, sim_test_find(session, "ec_private"),
                                 &label, 1),
        CKR_FUNCTION_NOT_SUPPORTED);
    sim_test_stop(state);
    session = sim_test_begin("set-attribute=CKR_OK");
    assert_int_equal(
        p11->C_SetAttributeValue(session, sim_test_find(session, "ec_private"),
                                 &label, 1),
        CKR_OK);
}

static void test_raw_signatures_are_single_part(void **state)
{
    static const struct {
        CK_MECHANISM_TYPE type;
        const char *label;
        CK_RV rv;
    } rows[] = {
        { CKM_ECDSA, "ec_private", CKR_MECHANISM_INVALID },
        { CKM_RSA_PKCS, "rsa_private", CKR_MECHANISM_INVALID },
        { CKM_RSA_PKCS_PSS, "rsa_private", CKR_MECHANISM_INVALID },
        { CKM_SHA256_RSA_PKCS, "rsa_private", CKR_OK },
    };
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_BYTE data[32] = "";
    CK_BYTE sig[512];
    CK_ULONG n = sizeof(sig);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool is_pss = rows[i].type == CKM_RSA_PKCS_PSS;
        CK_MECHANISM mechanism = { rows[i].type, is_pss ? &pss : NULL,
                                   is_pss ? sizeof(pss) : 0 };
        CK_OBJECT_HANDLE key = sim_test_find(session, rows[i].label);

        assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
        assert_int_equal(p11->C_SignUpdate(session, data, 32), rows[i].rv);
    }
    assert_int_equal(p11->C_SignFinal(session, sig, &n), CKR_OK);
    /* SoftHSM has another answer. */
    sim_test_stop(state);
    session = sim_test_begin("single-part=CKR_OK");
    assert_int_equal(sim_test_sign_init(session, CKM_ECDSA, "ec_private"),
                     CKR_OK);
    assert_int_not_equal(p11->C_SignUpdate(session, data, 32),
                         CKR_MECHANISM_INVALID);
}

static bool lists(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM_TYPE types[64];
    CK_MECHANISM_INFO info;
    CK_ULONG n = COUNT(types);
    bool found = false;

    assert_int_equal(p11->C_GetMechanismList(ALPHA, types, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++)
        found = found || types[i] == type;
    assert_int_equal(p11->C_GetMechanismInfo(ALPHA, type, &info),
                     found ? CKR_OK : CKR_MECHANISM_INVALID);
    return found;
}

static void test_unlisted_mechanisms_are_invalid(void **state)
{
    /* SoftHSM has the first three. */
    static const CK_MECHANISM_TYPE types[] = {
        CKM_EDDSA,
        CKM_MD5_RSA_PKCS,
        CKM_DSA,
        0x1d,             /* CKM_ML_DSA */
        CKM_ECDSA_SHA256, /* listed by AWS, absent in SoftHSM */
        CKM_SHA3_256_RSA_PKCS_PSS,
        VENDOR_EDDSA,
    };
    CK_SESSION_HANDLE session = sim_test_begin("");

    (void)state;
    assert_true(lists(CKM_ECDSA));
    assert_true(lists(CKM_RSA_X_509));
    for (size_t i = 0; i < COUNT(types); i++) {
        assert_false(lists(types[i]));
        assert_int_equal(sim_test_sign_init(session, types[i], "rsa_private"),
                         CKR_MECHANISM_INVALID);
    }
    sim_test_stop(state);
    session = sim_test_begin("unlisted-mechanism=CKR_OK");
    assert_int_equal(
        sim_test_sign_init(session, CKM_MD5_RSA_PKCS, "rsa_private"), CKR_OK);
}

/* RFC 8032, 7.1, TEST 2. */
static CK_BYTE ed25519_key[] = {
    0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
    0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
    0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb
};
static const CK_BYTE ed25519_sig[] = {
    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82,
    0x0b, 0x5f, 0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50,
    0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08,
    0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13,
    0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a,
    0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00
};

/* By C_CreateObject: SoftHSM leaks memory with Ed25519 keys of its own. */
static void test_vendor_eddsa_signs(void **state)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC_EDWARDS;
    CK_BYTE curve[] = { 6, 3, 0x2b, 0x65, 0x70 };
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE templ[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_EC_PARAMS, curve, sizeof(curve) },
        { CKA_VALUE, ed25519_key, sizeof(ed25519_key) },
        { CKA_SIGN, &yes, sizeof(yes) },
    };
    CK_MECHANISM make = { CKM_EC_EDWARDS_KEY_PAIR_GEN, NULL, 0 };
    CK_MECHANISM sign = { VENDOR_EDDSA, NULL, 0 };
    CK_MECHANISM standard = { CKM_EDDSA, NULL, 0 };
    CK_BYTE message = 0x72;
    CK_BYTE sig[64];
    CK_ULONG n = sizeof(sig);
    CK_OBJECT_HANDLE keys[2];
    CK_SESSION_HANDLE session = sim_test_begin("eddsa=0x80000abc");

    assert_true(lists(VENDOR_EDDSA));
    assert_true(lists(CKM_EC_EDWARDS_KEY_PAIR_GEN));
    assert_int_equal(p11->C_CreateObject(session, templ, COUNT(templ), keys),
                     CKR_OK);
    assert_int_equal(p11->C_SignInit(session, &standard, keys[0]),
                     CKR_MECHANISM_INVALID);
    assert_int_equal(p11->C_SignInit(session, &sign, keys[0]), CKR_OK);
    assert_int_equal(p11->C_Sign(session, &message, 1, sig, &n), CKR_OK);
    assert_int_equal(n, sizeof(ed25519_sig));
    assert_memory_equal(sig, ed25519_sig, n);
    sim_test_stop(state);
    session = sim_test_begin("");
    assert_int_equal(p11->C_GenerateKeyPair(session, &make, templ, 0, templ, 0,
                                            &keys[0], &keys[1]),
                     CKR_MECHANISM_INVALID);
}

static void test_vendor_ml_dsa_wants_a_module_that_has_it(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("ml-dsa=0x80000abd");

    (void)state;
    /* SoftHSM has none, whatever its number is. */
    assert_false(lists(0x80000abdUL));
    assert_int_equal(sim_test_sign_init(session, 0x80000abdUL, "ec_private"),
                     CKR_MECHANISM_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_there_is_no_get_interface),
        SIM_TEST(test_unlisted_functions_are_not_supported),
        SIM_TEST(test_keys_keep_their_attributes),
        SIM_TEST(test_raw_signatures_are_single_part),
        SIM_TEST(test_unlisted_mechanisms_are_invalid),
        SIM_TEST(test_vendor_eddsa_signs),
        SIM_TEST(test_vendor_ml_dsa_wants_a_module_that_has_it),
    };

    SIM_MAIN("cloudhsm_sign", tests);
}
