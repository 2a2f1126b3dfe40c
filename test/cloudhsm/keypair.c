/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloudhsm_keypair MODULE PIN TYPE PUBLIC-LABEL PRIVATE-LABEL: makes a signing
 * key as AWS's walkthrough does with cloudhsm-cli: the halves have labels of
 * their own and no CKA_ID.  TYPE is rsa or ec; the token is the first.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "../../pkcs11/cryptoki.h"

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *list = NULL;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    return get != NULL && get(&list) == CKR_OK ? list : NULL;
}

static CK_RV make(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, bool rsa,
                  char *public_label, char *private_label)
{
    CK_MECHANISM mechanism = { rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN
                                   : CKM_EC_KEY_PAIR_GEN,
                               NULL, 0 };
    CK_BYTE curve[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
    CK_BYTE exponent[] = { 1, 0, 1 };
    CK_ULONG bits = 2048;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE public[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                              { CKA_VERIFY, &yes, sizeof(yes) },
                              { CKA_LABEL, public_label, strlen(public_label) },
                              { CKA_EC_PARAMS, curve, sizeof(curve) },
                              { CKA_PUBLIC_EXPONENT, exponent, 3 } };
    CK_ATTRIBUTE private[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                               { CKA_SIGN, &yes, sizeof(yes) },
                               { CKA_EXTRACTABLE, &no, sizeof(no) },
                               { CKA_LABEL, private_label,
                                 strlen(private_label) } };
    CK_OBJECT_HANDLE keys[2];

    if (rsa)
    public[3] = (CK_ATTRIBUTE){ CKA_MODULUS_BITS, &bits, sizeof(bits) };
    return p11->C_GenerateKeyPair(session, &mechanism, public, rsa ? 5 : 4,
                                  private, 4, &keys[0], &keys[1]);
}

int main(int argc, char *argv[])
{
    CK_FUNCTION_LIST *p11 = argc == 6 ? load(argv[1]) : NULL;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    CK_RV rv = CKR_OK;

    if (p11 == NULL) {
        (void)fprintf(stderr, "cloudhsm_keypair: bad arguments or module\n");
        return 2;
    }
    rv = p11->C_Initialize(NULL);
    if (rv == CKR_OK)
        rv = p11->C_GetSlotList(CK_TRUE, slots, &n);
    if (rv == CKR_OK && n > 0)
        rv = p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                NULL, NULL, &session);
    if (rv == CKR_OK)
        rv = p11->C_Login(session, CKU_USER, (CK_BYTE *)argv[2],
                          strlen(argv[2]));
    if (rv == CKR_OK)
        rv = make(p11, session, strcmp(argv[3], "rsa") == 0, argv[4], argv[5]);
    if (rv != CKR_OK)
        (void)fprintf(stderr, "cloudhsm_keypair: 0x%lx\n", rv);
    (void)p11->C_Finalize(NULL);
    return rv == CKR_OK ? 0 : 1;
}
