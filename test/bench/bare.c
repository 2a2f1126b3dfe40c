/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare PKCS #11 loop, for batch.sh: C_SignInit and C_Sign with a P-256 key,
 * and nothing else, in as many sessions as threads.  Prints the seconds that
 * the loop took, without what comes before it.
 *
 *   bare MODULE LABEL THREADS COUNT     token "demo", PIN 1234
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../../pkcs11/cryptoki.h"

enum { THREADS = 256, SLOTS = 16, DIGEST = 32, SIGNATURE = 128 };

static CK_FUNCTION_LIST *fl;
static CK_OBJECT_HANDLE key;
static atomic_long left;

static void must(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "bare: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static void load(const char *path)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;

    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    must(get == NULL ? CKR_GENERAL_ERROR : get(&fl), "C_GetFunctionList");
    must(fl->C_Initialize(&args), "C_Initialize");
}

static CK_SLOT_ID find_token(void)
{
    CK_SLOT_ID slots[SLOTS];
    CK_ULONG n = SLOTS;
    CK_TOKEN_INFO info;

    must(fl->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
    for (CK_ULONG i = 0; i < n; i++) {
        if (fl->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            memcmp(info.label, "demo ", 5) == 0)
            return slots[i];
    }
    must(CKR_TOKEN_NOT_PRESENT, "token demo");
    return 0;
}

static void find_key(CK_SESSION_HANDLE session, char *label)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[] = { { CKA_CLASS, &class, sizeof(class) },
                              { CKA_LABEL, label, strlen(label) } };
    CK_ULONG n = 0;

    must(fl->C_FindObjectsInit(session, wanted, 2), "C_FindObjectsInit");
    must(fl->C_FindObjects(session, &key, 1, &n), "C_FindObjects");
    must(fl->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    must(n == 1 ? CKR_OK : CKR_KEY_HANDLE_INVALID, label);
}

static void *loop(void *arg)
{
    CK_SESSION_HANDLE session = *(CK_SESSION_HANDLE *)arg;
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_BYTE digest[DIGEST] = { 1 }, sig[SIGNATURE];

    while (atomic_fetch_sub(&left, 1) > 0) {
        CK_ULONG n = sizeof(sig);

        must(fl->C_SignInit(session, &mechanism, key), "C_SignInit");
        must(fl->C_Sign(session, digest, DIGEST, sig, &n), "C_Sign");
    }
    return NULL;
}

int main(int argc, char **argv)
{
    long n = argc == 5 ? strtol(argv[3], NULL, 10) : 0;
    CK_SESSION_HANDLE sessions[THREADS];
    pthread_t threads[THREADS];
    struct timespec start, end;
    CK_SLOT_ID slot;

    if (n < 1 || n > THREADS)
        return 2;
    atomic_store(&left, strtol(argv[4], NULL, 10));
    load(argv[1]);
    slot = find_token();
    for (long i = 0; i < n; i++)
        must(fl->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                               NULL, &sessions[i]),
             "C_OpenSession");
    must(fl->C_Login(sessions[0], CKU_USER, (CK_BYTE *)"1234", 4), "C_Login");
    find_key(sessions[0], argv[2]);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < n; i++) {
        if (pthread_create(&threads[i], NULL, loop, &sessions[i]) != 0)
            return 1;
    }
    for (long i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.3f\n", (double)(end.tv_sec - start.tv_sec) +
                         (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    must(fl->C_Finalize(NULL), "C_Finalize");
    return 0;
}
