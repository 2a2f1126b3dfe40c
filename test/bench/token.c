/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that answers at once: a PKCS #11 module in front of another one, by
 * the path HSMSIGN_BENCH_MODULE, that remembers signatures.  The first one
 * with a key, a mechanism and data is the other module's; from then on it
 * comes from memory.  So a signature is valid and costs next to nothing, and
 * what is measured is who asks for it.
 *
 * All other functions are the other module's own.  Searching the memory takes
 * no lock.  To be used by benchmarks alone: they sign few different messages.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../pkcs11/cryptoki.h"

enum {
    MAX_ANSWERS = 256,
    MAX_PARAMETER = 64,
    MAX_DATA = 512,
    MAX_SIGNATURE = 1024,
    SESSIONS = 4096 /* handles differ modulo this as long as there are fewer */
};

/* What a signature depends on; all that is unused is zero. */
struct question {
    CK_OBJECT_HANDLE key;
    CK_MECHANISM_TYPE mechanism;
    CK_ULONG parameter_len;
    unsigned char parameter[MAX_PARAMETER];
    CK_ULONG len;
    unsigned char data[MAX_DATA];
};

struct answer {
    struct question question;
    CK_ULONG len;
    CK_BYTE sig[MAX_SIGNATURE];
};

/* A session's operation; a page of its own keeps threads apart. */
struct operation {
    _Alignas(64) CK_SESSION_HANDLE session; /* 0: none is active */
    struct question question;
};

static CK_FUNCTION_LIST *behind, functions;
static struct operation operations[SESSIONS];
static struct answer answers[MAX_ANSWERS];
static atomic_size_t n_answers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "bench/token: %s\n", what);
    abort();
}

static struct operation *operation_of(CK_SESSION_HANDLE session)
{
    struct operation *op = &operations[session % SESSIONS];

    if (op->session != 0 && op->session != session)
        die("two sessions in one place");
    return op;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                       CK_OBJECT_HANDLE key)
{
    struct operation *op = operation_of(session);

    if (op->session != 0)
        return CKR_OPERATION_ACTIVE;
    if (mechanism->ulParameterLen > MAX_PARAMETER)
        return CKR_MECHANISM_PARAM_INVALID;
    op->session = session;
    op->question.key = key;
    op->question.mechanism = mechanism->mechanism;
    op->question.parameter_len = mechanism->ulParameterLen;
    op->question.len = 0;
    if (mechanism->ulParameterLen != 0)
        memcpy(op->question.parameter, mechanism->pParameter,
               mechanism->ulParameterLen);
    return CKR_OK;
}

static bool same(const struct question *a, const struct question *b)
{
    return a->key == b->key && a->mechanism == b->mechanism &&
           a->parameter_len == b->parameter_len && a->len == b->len &&
           memcmp(a->parameter, b->parameter, a->parameter_len) == 0 &&
           memcmp(a->data, b->data, a->len) == 0;
}

static const struct answer *find_answer(const struct question *question)
{
    size_t n = atomic_load_explicit(&n_answers, memory_order_acquire);

    for (size_t i = 0; i < n; i++) {
        if (same(&answers[i].question, question))
            return &answers[i];
    }
    return NULL;
}

static CK_RV ask_behind(struct operation *op)
{
    struct question *q = &op->question;
    CK_MECHANISM mechanism = { q->mechanism, q->parameter, q->parameter_len };
    size_t n = atomic_load(&n_answers);
    struct answer *answer = &answers[n];
    CK_RV rv;

    if (n == MAX_ANSWERS)
        die("too many different messages");
    if (q->parameter_len == 0)
        mechanism.pParameter = NULL;
    rv = behind->C_SignInit(op->session, &mechanism, q->key);
    if (rv != CKR_OK)
        return rv;
    answer->len = MAX_SIGNATURE;
    rv =
        behind->C_Sign(op->session, q->data, q->len, answer->sig, &answer->len);
    if (rv != CKR_OK)
        return rv;
    answer->question = *q;
    atomic_store_explicit(&n_answers, n + 1, memory_order_release);
    return CKR_OK;
}

static CK_RV give_answer(struct operation *op, CK_BYTE *sig, CK_ULONG *siglen)
{
    const struct answer *answer = find_answer(&op->question);
    CK_RV rv = CKR_OK;

    if (answer == NULL) {
        pthread_mutex_lock(&lock);
        if (find_answer(&op->question) == NULL)
            rv = ask_behind(op);
        pthread_mutex_unlock(&lock);
        answer = find_answer(&op->question);
    }
    if (answer == NULL) {
        op->session = 0;
        return rv;
    }
    /* PKCS #11 v2.40, 5.2: both leave the operation active. */
    rv = sig != NULL && *siglen < answer->len ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *siglen = answer->len;
    if (sig == NULL || rv != CKR_OK)
        return rv;
    memcpy(sig, answer->sig, answer->len);
    op->session = 0;
    return CKR_OK;
}

static CK_RV sign_update(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len)
{
    struct operation *op = operation_of(session);

    if (op->session == 0)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (len > MAX_DATA - op->question.len)
        return CKR_DATA_LEN_RANGE;
    memcpy(op->question.data + op->question.len, data, len);
    op->question.len += len;
    return CKR_OK;
}

static CK_RV sign_final(CK_SESSION_HANDLE session, CK_BYTE *sig,
                        CK_ULONG *siglen)
{
    struct operation *op = operation_of(session);

    return op->session == 0 ? CKR_OPERATION_NOT_INITIALIZED
                            : give_answer(op, sig, siglen);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                  CK_BYTE *sig, CK_ULONG *siglen)
{
    operation_of(session)->question.len = 0;
    CK_RV rv = sign_update(session, data, len);

    return rv == CKR_OK ? sign_final(session, sig, siglen) : rv;
}

static CK_RV get_function_list(CK_FUNCTION_LIST **list)
{
    *list = &functions;
    return CKR_OK;
}

static void load(void)
{
    const char *path = getenv("HSMSIGN_BENCH_MODULE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;

    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (get == NULL || get(&behind) != CKR_OK)
        die("HSMSIGN_BENCH_MODULE is no PKCS #11 module");
    functions = *behind;
    functions.C_GetFunctionList = get_function_list;
    functions.C_SignInit = sign_init;
    functions.C_Sign = sign;
    functions.C_SignUpdate = sign_update;
    functions.C_SignFinal = sign_final;
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return get_function_list(list);
}
