/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SoftHSM token of the tests' own, with the shim in front of it.
 * shim_test.h is the manual.
 */
#include <dlfcn.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim_test.h"

static unsigned char so_pin[] = "87654321";
unsigned char pin[] = "user:pass%1";
const size_t pin_len = sizeof(pin) - 1;
static char directory[] = "/tmp/hsmsign-shim-XXXXXX";
static char log_path[sizeof(directory) + 8];

void *shim;
CK_FUNCTION_LIST *p11;
CK_SLOT_ID slot;

const char *shim_test_required(const char *name)
{
    const char *value = secure_getenv(name);

    if (value == NULL)
        fail_msg("%s is not set", name);
    return value;
}

void shim_test_clear_environment(void)
{
    static const char *const names[] = { "MODULE",       "LOG",  "DELAY_US",
                                         "MAX_SESSIONS", "FAIL", "TOKEN_FLAGS",
                                         "PINPAD",       "ATTR", "FIAL" };
    char name[64];
    size_t i = 0;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(snprintf(name, sizeof(name), "HSMSIGN_SHIM_%s", names[i]) >
                    0);
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
        assert_int_equal(unsetenv(name), 0);
    }
}

static void set(const char *name, const char *value)
{
    char full[64];

    assert_true(snprintf(full, sizeof(full), "HSMSIGN_SHIM_%s", name) > 0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    assert_int_equal(setenv(full, value, 1), 0);
}

void shim_test_load(const char *module, const struct shim_setting *settings,
                    size_t n)
{
    const char *path = shim_test_required("HSMSIGN_SHIM");
    CK_C_GetFunctionList get = NULL;
    size_t i = 0;

    shim_test_clear_environment();
    set("MODULE", module);
    assert_true(unlink(log_path) == 0 || access(log_path, F_OK) != 0);
    set("LOG", log_path);
    for (i = 0; i < n; i++)
        set(settings[i].name, settings[i].value);
    assert_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
    shim = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(shim);
    *(void **)&get = dlsym(shim, "C_GetFunctionList");
    assert_int_equal(get == NULL ? CKR_GENERAL_ERROR : get(&p11), CKR_OK);
}

void shim_test_start(const struct shim_setting *settings, size_t n)
{
    /* Without it the module may think that it has one thread. */
    CK_C_INITIALIZE_ARGS locking = { .flags = CKF_OS_LOCKING_OK };
    CK_SLOT_ID slots[8];
    CK_ULONG count = 8;
    CK_TOKEN_INFO info;
    CK_ULONG i = 0;

    shim_test_load(shim_test_required("SOFTHSM2_MODULE"), settings, n);
    assert_int_equal(p11->C_Initialize(&locking), CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (i = 0; i < count; i++) {
        slot = slots[i];
        if (p11->C_GetTokenInfo(slot, &info) == CKR_OK &&
            memcmp(info.label, "shim ", 5) == 0)
            return;
    }
    fail_msg("the token is not there");
}

int shim_test_stop(void **state)
{
    (void)state;
    if (shim == NULL)
        return 0;
    (void)p11->C_Finalize(NULL);
    (void)dlclose(shim);
    shim = NULL;
    return 0;
}

CK_SESSION_HANDLE shim_test_open_session(void)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(p11->C_OpenSession(slot, RW, NULL, NULL, &session),
                     CKR_OK);
    return session;
}

CK_SESSION_HANDLE shim_test_open_and_login(void)
{
    CK_SESSION_HANDLE session = shim_test_open_session();

    assert_int_equal(p11->C_Login(session, CKU_USER, pin, pin_len), CKR_OK);
    return session;
}

CK_OBJECT_HANDLE shim_test_find_key(CK_SESSION_HANDLE session,
                                    CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE templ = { CKA_CLASS, &class, sizeof(class) };
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG n = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, &templ, 1), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, &key, 1, &n), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(n, 1);
    return key;
}

CK_RV shim_test_sign_init(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

    return p11->C_SignInit(session, &mechanism, key);
}

CK_RV shim_test_sign(CK_SESSION_HANDLE session, unsigned char sig[64])
{
    unsigned char digest[] = "0123456789abcdef0123456789abcdef";
    CK_ULONG siglen = 64;

    return p11->C_Sign(session, digest, 32, sig, &siglen);
}

static void make_key(CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    unsigned char curve[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE public_templ[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                                    { CKA_VERIFY, &yes, sizeof(yes) },
                                    { CKA_EC_PARAMS, curve, sizeof(curve) } };
    CK_ATTRIBUTE private_templ[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                                     { CKA_PRIVATE, &yes, sizeof(yes) },
                                     { CKA_SIGN, &yes, sizeof(yes) } };
    CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;

    assert_int_equal(p11->C_GenerateKeyPair(session, &mechanism, public_templ,
                                            3, private_templ, 3, &public_key,
                                            &private_key),
                     CKR_OK);
}

int shim_test_make_token(void **state)
{
    unsigned char label[33] = "shim                            ";
    char path[sizeof(directory) + 16];
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_ULONG n = 1;
    FILE *file = NULL;

    assert_non_null(mkdtemp(directory));
    assert_true(snprintf(log_path, sizeof(log_path), "%s/log", directory) > 0);
    assert_true(snprintf(path, sizeof(path), "%s/conf", directory) > 0);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "directories.tokendir = %s\n", directory) > 0);
    assert_int_equal(fclose(file), 0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    assert_int_equal(setenv("SOFTHSM2_CONF", path, 1), 0);
    shim_test_load(shim_test_required("SOFTHSM2_MODULE"), NULL, 0);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_FALSE, &slot, &n), CKR_OK);
    assert_int_equal(p11->C_InitToken(slot, so_pin, sizeof(so_pin) - 1, label),
                     CKR_OK);
    shim_test_stop(state);
    shim_test_start(NULL, 0);
    session = shim_test_open_session();
    assert_int_equal(p11->C_Login(session, CKU_SO, so_pin, sizeof(so_pin) - 1),
                     CKR_OK);
    assert_int_equal(p11->C_InitPIN(session, pin, pin_len), CKR_OK);
    assert_int_equal(p11->C_Logout(session), CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, pin_len), CKR_OK);
    make_key(session);
    return shim_test_stop(state);
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int shim_test_remove_token(void **state)
{
    (void)state;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

char *shim_test_read_log(void)
{
    const size_t size = 65536;
    char *text = calloc(1, size);
    size_t len = 0;
    FILE *file = fopen(log_path, "r");

    assert_non_null(text);
    assert_non_null(file);
    len = fread(text, 1, size - 1, file);
    assert_true(len < size - 1);
    assert_int_equal(fclose(file), 0);
    return text;
}

int shim_test_count_lines(const char *beginning)
{
    char *text = shim_test_read_log();
    const char *line = text;
    int n = 0;

    while (line != NULL) {
        n += strncmp(line, beginning, strlen(beginning)) == 0;
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    free(text);
    return n;
}
