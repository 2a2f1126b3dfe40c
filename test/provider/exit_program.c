/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that test_exit.c runs: each scenario is a way in which programs
 * end with keys, contexts or threads alive.  Ends with status 0 if all went
 * well; a signal, a hang or another status is what the test looks for.
 *
 * Most scenarios use the default library context and openssl.cnf, as most
 * programs do.  What is left behind is kept in static variables, so that it is
 * not a leak but alive.
 */
#include "exit_program.h"
#include "fixture.h"
#include "../../pkcs11/cryptoki.h"
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define URI FIXTURE_URI "p256"

static OSSL_LIB_CTX *own; /* NULL: the default context */
static EVP_PKEY *key, *public;
static EVP_MD_CTX *mctx;
static OSSL_STORE_CTX *store;

static bool load(void)
{
    public = fixture_public("p256");
    key = fixture_load(own, URI);
    if (key != NULL && fixture_signs(own, key, public))
        return true;
    ERR_print_errors_fp(stderr);
    return false;
}

static void free_keys(void)
{
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    key = public = NULL;
}

/* LeakSanitizer asks: what is alive at exit is no leak, here it is the point.
 */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return key != NULL || mctx != NULL || store != NULL;
}

static int key_is_never_freed(void)
{
    return load() ? 0 : 1;
}

static int key_is_freed(void)
{
    bool ok = load();

    free_keys();
    return ok ? 0 : 1;
}

static int exit_is_called(void)
{
    exit(load() ? 0 : 1);
}

static int underscore_exit_is_called(void)
{
    _exit(load() ? 0 : 1);
}

static int quick_exit_is_called(void)
{
    quick_exit(load() ? 0 : 1);
}

/* Registered after libcrypto's: runs before it. */
static int key_is_freed_by_a_late_handler(void)
{
    return load() && atexit(free_keys) == 0 ? 0 : 1;
}

static void sign_at_exit(void)
{
    if (!fixture_signs(NULL, key, public))
        _exit(3);
    free_keys();
}

static int late_handler_signs(void)
{
    return load() && atexit(sign_at_exit) == 0 ? 0 : 1;
}

/* Runs after libcrypto's handler, as that of a static C++ object would. */
static bool free_late;

__attribute__((destructor)) static void free_key_last(void)
{
    if (free_late)
        free_keys();
}

static int key_is_freed_by_a_destructor(void)
{
    free_late = true;
    return load() ? 0 : 1;
}

static int operation_is_under_way(void)
{
    mctx = EVP_MD_CTX_new();
    return load() &&
                   EVP_DigestSignInit_ex(mctx, NULL, "SHA256", NULL, NULL, key,
                                         NULL) > 0 &&
                   EVP_DigestSignUpdate(mctx, "abc", 3) > 0
               ? 0
               : 1;
}

static int store_is_open(void)
{
    store = OSSL_STORE_open(URI, NULL, NULL, NULL, NULL);
    return store != NULL && load() ? 0 : 1;
}

static int nothing_was_loaded(void)
{
    OSSL_STORE_LOADER *loader = OSSL_STORE_LOADER_fetch(NULL, "pkcs11", NULL);

    OSSL_STORE_LOADER_free(loader);
    return loader != NULL ? 0 : 1;
}

static int load_has_failed(void)
{
    key = fixture_load(NULL, FIXTURE_URI "nope");
    ERR_clear_error();
    return key == NULL ? 0 : 1;
}

static int libcrypto_is_cleaned_up_by_hand(void)
{
    bool ok = load();

    free_keys();
    OPENSSL_cleanup();
    return ok ? 0 : 1;
}

static int libcrypto_is_cleaned_up_under_a_key(void)
{
    bool ok = load();

    OPENSSL_cleanup();
    return ok ? 0 : 1;
}

static void *sign_for_ever(void *arg)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];

    while (fixture_sign_quietly(arg, sig) > 0)
        ;
    return NULL;
}

static EVP_PKEY_CTX *signers[9]; /* the last one is for the main thread */

static bool start_threads(void)
{
    pthread_t thread;

    if (!load())
        return false;
    for (size_t i = 0; i < COUNT(signers); i++)
        signers[i] = fixture_signer(NULL, key);
    for (size_t i = 0; i + 1 < COUNT(signers); i++) {
        if (pthread_create(&thread, NULL, sign_for_ever, signers[i]) != 0)
            return false;
    }
    (void)usleep(20000);
    return true;
}

static int threads_sign_when_main_returns(void)
{
    return start_threads() ? 0 : 1;
}

static void *call_exit(void *arg)
{
    (void)arg;
    exit(0); /* NOLINT: that is the scenario */
}

static int thread_calls_exit_while_others_sign(void)
{
    pthread_t thread;

    if (!start_threads() || pthread_create(&thread, NULL, call_exit, NULL) != 0)
        return 1;
    (void)sign_for_ever(signers[COUNT(signers) - 1]);
    for (;;)
        (void)pause();
}

static int main_thread_ends_before_another(void)
{
    pthread_t thread;

    if (!load() || pthread_create(&thread, NULL, call_exit, NULL) != 0)
        return 1;
    pthread_exit(NULL);
}

static int child_exits_and_then_the_parent(void)
{
    pid_t pid = 0;
    bool ok = load();

    pid = fork();
    if (pid == 0)
        exit(fixture_signs(NULL, key, public) ? 0 : 1); /* NOLINT */
    return ok && pid > 0 && fixture_wait(pid) == 0 ? 0 : 1;
}

static int own_context_is_freed(void)
{
    bool ok = false;

    own = fixture_softhsm(FIXTURE_PIN);
    ok = load();
    free_keys();
    OSSL_LIB_CTX_free(own);
    return ok ? 0 : 1;
}

static void free_own(void)
{
    OSSL_LIB_CTX_free(own);
}

/*
 * Registered after the provider's handler, but before that of the first URI:
 * so that it runs when the one has not run, and the other has.
 */
static int own_context_is_freed_by_a_handler(void)
{
    bool ok;

    own = fixture_softhsm(FIXTURE_PIN);
    ok = atexit(free_own) == 0 && load();
    free_keys();
    return ok ? 0 : 1;
}

static int own_context_is_not_freed(void)
{
    own = fixture_softhsm(FIXTURE_PIN);
    return load() ? 0 : 1;
}

static int own_context_is_not_freed_but_its_key(void)
{
    bool ok = false;

    own = fixture_softhsm(FIXTURE_PIN);
    ok = load();
    free_keys();
    return ok ? 0 : 1;
}

static int own_context_is_freed_and_the_default_is_used(void)
{
    int status = own_context_is_freed();

    own = NULL;
    return status == 0 && load() ? 0 : 1;
}

/* Unload and load again, which makes the module come and go. */
static int contexts_come_and_go(void)
{
    for (int i = 0; i < 10; i++) {
        if (own_context_is_freed() != 0)
            return 1;
    }
    return 0;
}

static int provider_is_unloaded_by_hand(void)
{
    OSSL_PROVIDER *provider = NULL;
    bool ok = load();

    free_keys();
    provider = OSSL_PROVIDER_load(NULL, "hsmsign");
    return ok && provider != NULL && OSSL_PROVIDER_unload(provider) == 1 ? 0
                                                                         : 1;
}

/* The program's own use of the same PKCS #11 module. */
static struct {
    CK_FUNCTION_LIST *fl;
    CK_SESSION_HANDLE session;
} app;

static bool app_begins(void)
{
    void *dl = dlopen(getenv("SOFTHSM2_MODULE"), RTLD_NOW);
    CK_C_GetFunctionList get = NULL;
    CK_SLOT_ID slots[8];
    CK_ULONG n = COUNT(slots);
    CK_TOKEN_INFO token;
    unsigned char pin[] = "1234";

    if (dl == NULL)
        return false;
    *(void **)&get = dlsym(dl, "C_GetFunctionList");
    if (get == NULL || get(&app.fl) != CKR_OK ||
        app.fl->C_Initialize(NULL) != CKR_OK ||
        app.fl->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return false;
    for (CK_ULONG i = 0; i < n; i++) {
        if (app.fl->C_GetTokenInfo(slots[i], &token) == CKR_OK &&
            memcmp(token.label, "demo ", 5) == 0)
            return app.fl->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL,
                                         NULL, &app.session) == CKR_OK &&
                   app.fl->C_Login(app.session, CKU_USER, pin, 4) == CKR_OK;
    }
    return false;
}

/* Its session is open, and still logged in. */
static bool app_goes_on(void)
{
    CK_SESSION_INFO info;

    return app.fl->C_GetSessionInfo(app.session, &info) == CKR_OK &&
           info.state == CKS_RO_USER_FUNCTIONS;
}

static int application_keeps_its_module(void)
{
    return app_begins() && own_context_is_freed() == 0 && app_goes_on() &&
                   own_context_is_freed() == 0 && app_goes_on() &&
                   app.fl->C_Finalize(NULL) == CKR_OK
               ? 0
               : 1;
}

static int application_initialises_after_us(void)
{
    int status = 1;

    own = fixture_softhsm(FIXTURE_PIN);
    if (load() && !app_begins() && app.fl != NULL)
        status = 0; /* it is told CKR_CRYPTOKI_ALREADY_INITIALIZED */
    free_keys();
    OSSL_LIB_CTX_free(own);
    return status;
}

static int application_finalises_under_us(void)
{
    if (!app_begins() || !load() || app.fl->C_Finalize(NULL) != CKR_OK)
        return 1;
    /* Whether this can still sign is another question: it must not crash. */
    (void)fixture_signs(NULL, key, public);
    ERR_clear_error();
    free_keys();
    return 0;
}

#define SCENARIO(name, times)                                                  \
    {                                                                          \
#name, name, times                                                     \
    }

const struct exit_scenario exit_scenarios[] = {
    SCENARIO(key_is_never_freed, 1),
    SCENARIO(key_is_freed, 1),
    SCENARIO(exit_is_called, 1),
    SCENARIO(underscore_exit_is_called, 1),
    SCENARIO(quick_exit_is_called, 1),
    SCENARIO(key_is_freed_by_a_late_handler, 1),
    SCENARIO(late_handler_signs, 1),
    SCENARIO(key_is_freed_by_a_destructor, 1),
    SCENARIO(operation_is_under_way, 1),
    SCENARIO(store_is_open, 1),
    SCENARIO(nothing_was_loaded, 1),
    SCENARIO(load_has_failed, 1),
    SCENARIO(libcrypto_is_cleaned_up_by_hand, 1),
    SCENARIO(libcrypto_is_cleaned_up_under_a_key, 1),
    SCENARIO(threads_sign_when_main_returns, 5),
    SCENARIO(thread_calls_exit_while_others_sign, 5),
    SCENARIO(main_thread_ends_before_another, 1),
    SCENARIO(child_exits_and_then_the_parent, 1),
    SCENARIO(own_context_is_freed, 1),
    SCENARIO(own_context_is_freed_by_a_handler, 1),
    SCENARIO(own_context_is_not_freed, 1),
    SCENARIO(own_context_is_not_freed_but_its_key, 1),
    SCENARIO(own_context_is_freed_and_the_default_is_used, 1),
    SCENARIO(contexts_come_and_go, 1),
    SCENARIO(provider_is_unloaded_by_hand, 1),
    SCENARIO(application_keeps_its_module, 1),
    SCENARIO(application_initialises_after_us, 1),
    SCENARIO(application_finalises_under_us, 1),
};

const size_t exit_scenario_count = COUNT(exit_scenarios);
