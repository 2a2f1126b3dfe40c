/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token says that it can do, asked without hsmsign:
 *
 *     mechanisms MODULE TOKEN_LABEL [C_INITIALIZE_ARGUMENT]
 *
 * prints the names of those mechanisms below that are in its list.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "pkcs11/cryptoki.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
} names[] = {
    { CKM_RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN" },
    { CKM_RSA_PKCS, "CKM_RSA_PKCS" },
    { CKM_RSA_X_509, "CKM_RSA_X_509" },
    { CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS" },
    { CKM_EC_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN" },
    { CKM_ECDSA, "CKM_ECDSA" },
    { CKM_EC_EDWARDS_KEY_PAIR_GEN, "CKM_EC_EDWARDS_KEY_PAIR_GEN" },
    { CKM_EDDSA, "CKM_EDDSA" },
};

static CK_FUNCTION_LIST *load(const char *path)
{
    void *dl = dlopen(path, RTLD_NOW);
    void *symbol = dl != NULL ? dlsym(dl, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get_list = NULL;
    CK_FUNCTION_LIST *fl = NULL;

    memcpy(&get_list, &symbol, sizeof(get_list));
    return get_list != NULL && get_list(&fl) == CKR_OK ? fl : NULL;
}

/* Labels are padded with blanks. */
static int is_label(const CK_TOKEN_INFO *token, const char *label)
{
    size_t len = strlen(label);

    return len <= sizeof(token->label) &&
           memcmp(token->label, label, len) == 0 &&
           (len == sizeof(token->label) || token->label[len] == ' ');
}

static int find(CK_FUNCTION_LIST *fl, const char *label, CK_SLOT_ID *slot)
{
    CK_SLOT_ID slots[32];
    CK_ULONG n = COUNT(slots);
    CK_TOKEN_INFO token;

    if (fl->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < n; i++) {
        *slot = slots[i];
        if (fl->C_GetTokenInfo(*slot, &token) == CKR_OK &&
            is_label(&token, label))
            return 1;
    }
    return 0;
}

static int print(CK_FUNCTION_LIST *fl, CK_SLOT_ID slot)
{
    CK_MECHANISM_TYPE list[512];
    CK_ULONG n = COUNT(list);

    if (fl->C_GetMechanismList(slot, list, &n) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < n; i++) {
        for (size_t j = 0; j < COUNT(names); j++) {
            if (list[i] == names[j].type)
                puts(names[j].name);
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    CK_FUNCTION_LIST *fl = argc > 2 ? load(argv[1]) : NULL;
    CK_SLOT_ID slot = 0;
    int ok = 0;

    if (argc > 3)
        args.pReserved = argv[3];
    if (fl != NULL && fl->C_Initialize(&args) == CKR_OK) {
        ok = find(fl, argv[2], &slot) && print(fl, slot);
        fl->C_Finalize(NULL);
    }
    return !ok;
}
