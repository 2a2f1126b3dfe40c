/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare PKCS #11 loop: what any program has to do, and nothing else.
 * where is "MODULE OBJECT": the module's path and the key's label, on the token
 * "demo" with the PIN 1234.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static CK_FUNCTION_LIST *fl;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE main_session;
static CK_OBJECT_HANDLE key;
static const struct bench_alg *alg;

static bool ok(CK_RV rv, const char *what)
{
    if (rv != CKR_OK)
        fprintf(stderr, "bench: %s: 0x%lx\n", what, rv);
    return rv == CKR_OK;
}

static bool load(const char *path)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;

    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (get == NULL) {
        fprintf(stderr, "bench: %s: no PKCS #11 module\n", path);
        return false;
    }
    return ok(get(&fl), "C_GetFunctionList") &&
           ok(fl->C_Initialize(&args), "C_Initialize");
}

/* Looks at all, as one has to who does not know where the token is. */
static bool find_slot(void)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    CK_TOKEN_INFO info;
    bool found = false;

    if (!ok(fl->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList"))
        return false;
    for (CK_ULONG i = 0; i < n; i++) {
        if (fl->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            memcmp(info.label, "demo ", 5) == 0) {
            slot = slots[i];
            found = true;
        }
    }
    return found;
}

static bool open_session(CK_SESSION_HANDLE *session)
{
    return ok(fl->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                NULL, session),
              "C_OpenSession");
}

static bool find_key(const char *object)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_LABEL, (void *)object, strlen(object) },
    };
    CK_KEY_TYPE type;
    CK_ATTRIBUTE wanted = { CKA_KEY_TYPE, &type, sizeof(type) };
    CK_ULONG n = 0;

    return ok(fl->C_FindObjectsInit(main_session, template, 2),
              "C_FindObjectsInit") &&
           ok(fl->C_FindObjects(main_session, &key, 1, &n), "C_FindObjects") &&
           ok(fl->C_FindObjectsFinal(main_session), "C_FindObjectsFinal") &&
           n == 1 &&
           ok(fl->C_GetAttributeValue(main_session, key, &wanted, 1),
              "C_GetAttributeValue");
}

bool bench_raw_open(const char *module, const char *object)
{
    return load(module) && find_slot() && open_session(&main_session) &&
           ok(fl->C_Login(main_session, CKU_USER, (CK_BYTE *)"1234", 4),
              "C_Login") &&
           find_key(object);
}

static bool raw_open(const struct bench_alg *a, const char *where)
{
    char module[4096];
    const char *space = strchr(where, ' ');

    if (space == NULL || (size_t)(space - where) >= sizeof(module))
        return false;
    memcpy(module, where, (size_t)(space - where));
    module[space - where] = '\0';
    alg = a;
    return bench_raw_open(module, space + 1);
}

static bool sign_in(CK_SESSION_HANDLE session, const struct bench_alg *a,
                    unsigned char *sig, size_t *len)
{
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_MECHANISM mechanism = { a->mechanism, a->pss ? &pss : NULL,
                               a->pss ? sizeof(pss) : 0 };
    size_t skip = a->mechanism == CKM_RSA_PKCS ? 0 : BENCH_INFO_PREFIX;
    CK_ULONG n = BENCH_SIGNATURE_MAX;

    if (!ok(fl->C_SignInit(session, &mechanism, key), "C_SignInit") ||
        !ok(fl->C_Sign(session, bench_info + skip, sizeof(bench_info) - skip,
                       sig, &n),
            "C_Sign"))
        return false;
    *len = n;
    return true;
}

bool bench_raw_sign(const struct bench_alg *a, unsigned char *sig, size_t *len)
{
    return sign_in(main_session, a, sig, len);
}

static void *raw_begin(void)
{
    CK_SESSION_HANDLE *session = malloc(sizeof(*session));

    if (session != NULL && open_session(session))
        return session;
    free(session);
    return NULL;
}

static bool raw_sign(void *thread, unsigned char *sig, size_t *len)
{
    return sign_in(*(CK_SESSION_HANDLE *)thread, alg, sig, len);
}

static void raw_end(void *thread)
{
    fl->C_CloseSession(*(CK_SESSION_HANDLE *)thread);
    free(thread);
}

const struct contender bench_raw = { "raw",    true,    raw_open, raw_begin,
                                     raw_sign, raw_end, NULL };
