/* SPDX-License-Identifier: Apache-2.0 */
#include "mldsa_fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

const struct mldsa_set mldsa_sets[MLDSA_SETS] = {
    { "ML-DSA-44", CKP_ML_DSA_44, 2420 },
    { "ML-DSA-65", CKP_ML_DSA_65, 3309 },
    { "ML-DSA-87", CKP_ML_DSA_87, 4627 },
};

struct mldsa_parameter mldsa_parameter;

/* Written before threads begin. */
static EVP_PKEY *twins[MLDSA_SETS];
static struct fake_pair pairs[MLDSA_SETS];

static void free_twins(void)
{
    for (size_t i = 0; i < MLDSA_SETS; i++)
        EVP_PKEY_free(twins[i]);
}

EVP_PKEY *mldsa_twin(size_t i)
{
    if (twins[0] == NULL) {
        OSSL_LIB_CTX *software = fixture_software();

        for (size_t j = 0; j < MLDSA_SETS; j++) {
            twins[j] = EVP_PKEY_Q_keygen(software, NULL, mldsa_sets[j].name);
            assert_non_null(twins[j]);
        }
        assert_int_equal(atexit(free_twins), 0);
    }
    return twins[i];
}

size_t mldsa_sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const void *context,
                  size_t context_len, int deterministic,
                  const unsigned char *message, size_t len, unsigned char *sig,
                  size_t size)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(
                                "context-string", (void *)context, context_len),
                            OSSL_PARAM_construct_int("deterministic",
                                                     &deterministic),
                            OSSL_PARAM_construct_end() };
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();

    if (mctx == NULL ||
        EVP_DigestSignInit_ex(mctx, NULL, NULL, ctx, NULL, key,
                              context_len != 0 ? params : params + 1) <= 0 ||
        EVP_DigestSign(mctx, sig, &size, message, len) <= 0)
        size = 0;
    EVP_MD_CTX_free(mctx);
    return size;
}

static CK_RV sign(struct fake *fake, const struct fake_object *key,
                  const CK_MECHANISM *mechanism, const unsigned char *data,
                  size_t len, unsigned char *sig, size_t *siglen)
{
    const CK_ATTRIBUTE *label = fake_attribute(key, CKA_LABEL);
    struct mldsa_parameter *got = &mldsa_parameter;
    struct p11_sign_context parameter = { .hedgeVariant = 0 };

    (void)fake;
    memset(got, 0, sizeof(*got));
    if (mechanism->ulParameterLen != 0) {
        if (mechanism->ulParameterLen != sizeof(parameter))
            return CKR_MECHANISM_PARAM_INVALID;
        memcpy(&parameter, mechanism->pParameter, sizeof(parameter));
        got->present = true;
        got->hedge = parameter.hedgeVariant;
        got->context_len = parameter.ulContextLen;
        if (got->context_len > 255)
            return CKR_MECHANISM_PARAM_INVALID;
        if (got->context_len != 0)
            memcpy(got->context, parameter.pContext, got->context_len);
    }
    *siglen = 0;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        if (strlen(mldsa_sets[i].name) <= label->ulValueLen &&
            memcmp(mldsa_sets[i].name, label->pValue,
                   strlen(mldsa_sets[i].name)) == 0)
            *siglen = mldsa_sign(fixture_software(), twins[i], got->context,
                                 got->context_len,
                                 got->hedge == CKH_DETERMINISTIC_REQUIRED, data,
                                 len, sig, FAKE_MAX_SIGNATURE);
    }
    return *siglen != 0 ? CKR_OK : CKR_GENERAL_ERROR;
}

static void add(struct fake *fake, size_t i, enum mldsa_public where)
{
    const char *name = mldsa_sets[i].name;
    unsigned char value[2592], *info = NULL;
    size_t len = sizeof(value);
    int info_len = i2d_PUBKEY(mldsa_twin(i), &info);
    struct fake_key key = {
        .type = CKK_ML_DSA,
        .label = name,
        .id = { name, where == MLDSA_LABEL ? 0 : strlen(name) },
        .parameter_set = mldsa_sets[i].set,
        .no_public = where == MLDSA_INFO || where == MLDSA_NOWHERE,
    };

    assert_true(info_len > 0);
    assert_int_equal(EVP_PKEY_get_raw_public_key(mldsa_twin(i), value, &len),
                     1);
    key.value = (struct fake_bytes){ value, len };
    if (where == MLDSA_INFO)
        key.info = (struct fake_bytes){ info, (size_t)info_len };
    pairs[i] = fake_add_key(fake, 0, &key);
    OPENSSL_free(info);
}

struct fake *mldsa_fixture(enum mldsa_public where)
{
    struct fake *fake = fake_fixture();

    fake->sign = sign;
    for (size_t i = 0; i < MLDSA_SETS; i++)
        add(fake, i, where);
    return fake;
}

EVP_PKEY *mldsa_key(OSSL_LIB_CTX *ctx, size_t i)
{
    return fake_key(ctx, mldsa_sets[i].name);
}

struct fake_pair mldsa_pair(size_t i)
{
    return pairs[i];
}
