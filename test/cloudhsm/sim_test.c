/* SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "sim_test.h"

static char directory[] = "/tmp/hsmsign-sim-XXXXXX";

CK_FUNCTION_LIST *const p11 = &sim_functions;
CK_BYTE sim_test_pin[] = "user:password";
const CK_ULONG sim_test_pin_len = sizeof(sim_test_pin) - 1;
_Atomic unsigned long sim_test_clock = 5UL * SECOND;
void (*sim_test_on_sleep)(void);

int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    (void)id;
    *time = (struct timespec){
        .tv_sec = (time_t)(sim_test_clock / SECOND),
        .tv_nsec = (long)(sim_test_clock % SECOND) * 1000,
    };
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    void (*hook)(void) = sim_test_on_sleep;

    (void)left;
    sim_test_clock += (unsigned long)time->tv_sec * SECOND +
                      (unsigned long)time->tv_nsec / 1000;
    if (hook != NULL) {
        sim_test_on_sleep = NULL;
        hook();
    }
    return 0;
}

void sim_test_start(const char *switches)
{
    CK_C_INITIALIZE_ARGS locking = { .flags = CKF_OS_LOCKING_OK };

    sim_configure(switches);
    assert_int_equal(p11->C_Initialize(&locking), CKR_OK);
}

int sim_test_stop(void **state)
{
    (void)state;
    sim_test_on_sleep = NULL;
    (void)p11->C_Finalize(NULL);
    return 0;
}

CK_SESSION_HANDLE sim_test_open(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(p11->C_OpenSession(slot, RW, NULL, NULL, &session),
                     CKR_OK);
    return session;
}

CK_RV sim_test_login(CK_SESSION_HANDLE session)
{
    return p11->C_Login(session, CKU_USER, sim_test_pin, sim_test_pin_len);
}

CK_SESSION_HANDLE sim_test_begin(const char *switches)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    sim_test_start(switches);
    session = sim_test_open(ALPHA);
    assert_int_equal(sim_test_login(session), CKR_OK);
    return session;
}

CK_ULONG sim_test_count(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                        CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    CK_OBJECT_HANDLE found[128];
    CK_ULONG n = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, templ, count), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, found, 128, &n), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    if (n > 0 && object != NULL)
        *object = found[0];
    return n;
}

CK_OBJECT_HANDLE sim_test_find(CK_SESSION_HANDLE session, const char *label)
{
    CK_ATTRIBUTE templ = { CKA_LABEL, (void *)label, strlen(label) };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    assert_int_equal(sim_test_count(session, &templ, 1, &object), 1);
    return object;
}

CK_RV sim_test_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type,
                         const char *label)
{
    CK_MECHANISM mechanism = { type, NULL, 0 };

    return p11->C_SignInit(session, &mechanism, sim_test_find(session, label));
}

CK_RV sim_test_sign(CK_SESSION_HANDLE session)
{
    CK_BYTE digest[32] = "0123456789abcdef0123456789abcde";
    CK_BYTE sig[512];
    CK_ULONG n = sizeof(sig);

    return p11->C_Sign(session, digest, sizeof(digest), sig, &n);
}

CK_RV sim_test_ec_sign(CK_SESSION_HANDLE session)
{
    CK_RV rv = sim_test_sign_init(session, CKM_ECDSA, "ec_private");

    return rv == CKR_OK ? sim_test_sign(session) : rv;
}

CK_RV sim_test_make_ec(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *public,
                       CK_ULONG public_count, const CK_ATTRIBUTE *private,
                       CK_ULONG private_count, CK_OBJECT_HANDLE keys[2])
{
    CK_BYTE curve[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
    CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_ATTRIBUTE both[2][8] = { { { CKA_EC_PARAMS, curve, sizeof(curve) } } };

    if (public_count != 0)
        memcpy(&both[0][1], public, public_count * sizeof(*public));
    if (private_count != 0)
        memcpy(both[1], private, private_count * sizeof(*private));
    return p11->C_GenerateKeyPair(session, &mechanism, both[0],
                                  public_count + 1, both[1], private_count,
                                  &keys[0], &keys[1]);
}

CK_RV sim_test_make_certificate(CK_SESSION_HANDLE session, CK_ULONG bytes,
                                CK_ULONG id_bytes, CK_ULONG label_bytes)
{
    static CK_BYTE data[64 * 1024];
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE templ[] = { { CKA_CLASS, &class, sizeof(class) },
                             { CKA_CERTIFICATE_TYPE, &type, sizeof(type) },
                             { CKA_TOKEN, &yes, sizeof(yes) },
                             { CKA_SUBJECT, data, 2 },
                             { CKA_VALUE, data, bytes },
                             { CKA_ID, data, id_bytes },
                             { CKA_LABEL, data, label_bytes } };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    memset(data, 'x', sizeof(data));
    return p11->C_CreateObject(session, templ, COUNT(templ), &object);
}

/* ---- the tokens ---- */

static void make_token(const char *name)
{
    CK_BYTE so_pin[] = "87654321";
    CK_BYTE label[33];
    CK_SLOT_ID slots[8];
    CK_ULONG n = COUNT(slots);
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_true(snprintf((char *)label, sizeof(label), "%-32s", name) == 32);
    assert_int_equal(sim_behind->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    /* The free one is the last. */
    assert_int_equal(sim_behind->C_InitToken(slots[n - 1], so_pin, 8, label),
                     CKR_OK);
    assert_int_equal(
        sim_behind->C_OpenSession(slots[n - 1], RW, NULL, NULL, &session),
        CKR_OK);
    assert_int_equal(sim_behind->C_Login(session, CKU_SO, so_pin, 8), CKR_OK);
    assert_int_equal(
        sim_behind->C_InitPIN(session, sim_test_pin, sim_test_pin_len), CKR_OK);
    assert_int_equal(sim_behind->C_CloseSession(session), CKR_OK);
}

static void make_keys(CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = { CKM_RSA_X9_31_KEY_PAIR_GEN, NULL, 0 };
    CK_ULONG bits = 2048;
    CK_BYTE exponent[] = { 1, 0, 1 };
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE public[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                              { CKA_VERIFY, &yes, sizeof(yes) },
                              { CKA_LABEL, "ec_pub", 6 } };
    CK_ATTRIBUTE private[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                               { CKA_SIGN, &yes, sizeof(yes) },
                               { CKA_LABEL, "ec_private", 10 } };
    CK_ATTRIBUTE rsa_public[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                                  { CKA_LABEL, "rsa_pub", 7 },
                                  { CKA_MODULUS_BITS, &bits, sizeof(bits) },
                                  { CKA_PUBLIC_EXPONENT, exponent, 3 } };
    CK_OBJECT_HANDLE keys[2];

    assert_int_equal(sim_test_make_ec(session, public, 3, private, 3, keys),
                     CKR_OK);
    private[2] = (CK_ATTRIBUTE){ CKA_LABEL, "rsa_private", 11 };
    assert_int_equal(p11->C_GenerateKeyPair(session, &mechanism, rsa_public, 4,
                                            private, 3, &keys[0], &keys[1]),
                     CKR_OK);
}

int sim_test_make_tokens(void **state)
{
    char path[sizeof(directory) + 16];
    FILE *file = NULL;

    assert_non_null(mkdtemp(directory));
    assert_true(snprintf(path, sizeof(path), "%s/conf", directory) > 0);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "directories.tokendir = %s\n", directory) > 0);
    assert_int_equal(fclose(file), 0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    assert_int_equal(setenv("SOFTHSM2_CONF", path, 1), 0);
    sim_configure("");
    sim_load();
    assert_int_equal(sim_behind->C_Initialize(NULL), CKR_OK);
    make_token("beta");
    assert_int_equal(sim_behind->C_Finalize(NULL), CKR_OK);
    assert_int_equal(sim_behind->C_Initialize(NULL), CKR_OK);
    make_token("alpha");
    assert_int_equal(sim_behind->C_Finalize(NULL), CKR_OK);
    make_keys(sim_test_begin(""));
    return sim_test_stop(state);
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int sim_test_remove_tokens(void **state)
{
    (void)state;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
