/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters of a signature context, by their names and integers.
 *
 * What has to be byte for byte what the default provider says (the
 * AlgorithmIdentifier, the salt length that applies when none was given) is
 * asked of it: of a "twin", a verification with the public half under the
 * same parameters.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>
#include "sign.h"

struct name_number {
    const char *name;
    int number;
};

static const struct name_number pad_modes[] = {
    { OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING },
    { OSSL_PKEY_RSA_PAD_MODE_PSS, RSA_PKCS1_PSS_PADDING },
    { OSSL_PKEY_RSA_PAD_MODE_NONE, RSA_NO_PADDING },
    { NULL, 0 },
};

static const struct name_number salt_lengths[] = {
    { OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST },
    { OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX },
    { OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO },
    { "auto-digestmax", PROV_PSS_SALTLEN_AUTO_DIGEST_MAX },
    { NULL, 0 },
};

/* An integer, a decimal number, or a name of the table; 0 if none of them. */
static int get_number(const OSSL_PARAM *p, const struct name_number *names,
                      int *number)
{
    const char *text;
    char *end;
    long value;

    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, number);
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &text))
        return 0;
    for (; names->name != NULL; names++) {
        if (strcmp(names->name, text) == 0) {
            *number = names->number;
            return 1;
        }
    }
    value = strtol(text, &end, 10);
    *number = (int)value;
    return *text != '\0' && *end == '\0' && value >= -4 && value <= 65535;
}

/* As the type in which the caller wants it: a name or an integer. */
static int put_number(OSSL_PARAM params[], const char *name,
                      const struct name_number *names, int number)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    char text[16];

    if (p == NULL)
        return 1;
    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_int(p, number);
    for (; names->name != NULL; names++) {
        if (names->number == number)
            return OSSL_PARAM_set_utf8_string(p, names->name);
    }
    BIO_snprintf(text, sizeof(text), "%d", number);
    return OSSL_PARAM_set_utf8_string(p, text);
}

/* limit NULL: any. */
static int check_limit(const struct sig_ctx *ctx, const struct prov_digest *row,
                       const struct prov_digest *limit)
{
    return limit == NULL || row == limit ||
           prov_raise_rv(ctx->prov, P11_DIGEST,
                         "%s: the key's certificate or public key allows %s "
                         "here, not %s",
                         p11_key_where(ctx->key->token_key), limit->name,
                         row->name);
}

int prov_sigctx_set_digest(struct sig_ctx *ctx, const char *name,
                           const char *propq)
{
    const struct prov_digest *row;
    EVP_MD *md;

    if (name == NULL || *name == '\0' ||
        (ctx->md != NULL && EVP_MD_is_a(ctx->md, name)))
        return 1;
    if (ctx->key != NULL && ctx->key->alg->default_digest == NULL)
        return prov_raise_rv(ctx->prov, P11_DIGEST,
                             "%s signs the message itself: give no digest "
                             "(-rawin, no -md)",
                             ctx->key->alg->name);
    if (ctx->params.pad == RSA_NO_PADDING)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "a digest goes with rsa_padding_mode:pkcs1 or "
                             "pss");
    md = prov_digest_fetch(ctx->prov, name, propq != NULL ? propq : ctx->propq,
                           &row);
    if (md == NULL)
        return prov_raise_rv(ctx->prov, P11_DIGEST,
                             "no active provider offers the digest %s; "
                             "activate \"default\"",
                             name);
    if (row == NULL) {
        EVP_MD_free(md);
        return prov_raise_rv(ctx->prov, P11_DIGEST,
                             "%s is not a digest to sign with here; SHA-1, "
                             "SHA-2 and SHA-3 are",
                             name);
    }
    if (!check_limit(ctx, row, ctx->key != NULL ? ctx->key->limits.md : NULL)) {
        EVP_MD_free(md);
        return 0;
    }
    EVP_MD_free(ctx->md);
    ctx->md = md;
    ctx->params.md = row;
    return 1;
}

int prov_sigctx_set_limits(struct sig_ctx *ctx)
{
    const struct prov_pss_limits *limits = &ctx->key->limits;

    if (limits->md == NULL)
        return 1;
    ctx->params.mgf1 = limits->mgf1;
    ctx->params.salt_len = (int)limits->min_salt;
    ctx->salt_given = true;
    return prov_sigctx_set_digest(ctx, limits->md->name, NULL);
}

static int set_pad(struct sig_ctx *ctx, const OSSL_PARAM *p)
{
    int pad;

    if (!get_number(p, pad_modes, &pad) ||
        (pad != RSA_PKCS1_PADDING && pad != RSA_PKCS1_PSS_PADDING &&
         pad != RSA_NO_PADDING))
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "this padding mode is not offered; pkcs1, pss "
                             "and none are");
    if (pad != RSA_PKCS1_PADDING && ctx->digest != NULL)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "the algorithm's name says PKCS #1 v1.5");
    if (pad != RSA_PKCS1_PSS_PADDING && ctx->key->alg == &prov_alg_rsa_pss)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "an RSA-PSS key signs with rsa_padding_mode:pss "
                             "alone: so say its certificate or its "
                             "CKA_ALLOWED_MECHANISMS");
    if (pad == RSA_NO_PADDING && ctx->md != NULL)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "rsa_padding_mode:none takes no digest");
    ctx->params.pad = pad;
    return 1;
}

static int set_salt(struct sig_ctx *ctx, const OSSL_PARAM *p)
{
    int salt;

    if (ctx->params.pad != RSA_PKCS1_PSS_PADDING)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "a salt length goes with rsa_padding_mode:pss");
    if (!get_number(p, salt_lengths, &salt) ||
        salt < PROV_PSS_SALTLEN_AUTO_DIGEST_MAX)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "the salt length is not digest, max, auto or a "
                             "number");
    ctx->params.salt_len = salt;
    ctx->salt_given = true;
    return 1;
}

static int set_mgf1(struct sig_ctx *ctx, const OSSL_PARAM *p)
{
    const struct prov_digest *row = NULL;
    const char *name;
    EVP_MD *md;

    if (ctx->params.pad != RSA_PKCS1_PSS_PADDING)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "an MGF1 digest goes with rsa_padding_mode:pss");
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &name))
        return 0;
    md = prov_digest_fetch(ctx->prov, name, ctx->propq, &row);
    EVP_MD_free(md);
    if (row == NULL)
        return prov_raise_rv(ctx->prov, P11_DIGEST,
                             "%s is not a digest for MGF1", name);
    if (!check_limit(ctx, row, ctx->key->limits.mgf1))
        return 0;
    ctx->params.mgf1 = row;
    return 1;
}

static int get_text(const OSSL_PARAM params[], const char *name,
                    const char **text)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);

    *text = NULL;
    return p == NULL || OSSL_PARAM_get_utf8_string_ptr(p, text);
}

static int set_digest_param(struct sig_ctx *ctx, const OSSL_PARAM params[])
{
    const char *name, *propq;

    if (!get_text(params, OSSL_SIGNATURE_PARAM_DIGEST, &name) ||
        !get_text(params, OSSL_SIGNATURE_PARAM_PROPERTIES, &propq))
        return 0;
    if (name != NULL && ctx->md_fixed &&
        (ctx->md == NULL || !EVP_MD_is_a(ctx->md, name)))
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "the digest cannot be changed after "
                             "EVP_DigestSignInit");
    return prov_sigctx_set_digest(ctx, name, propq);
}

/* What newer libcryptos can ask for, and what a plain signature has of it. */
static const struct name_number variants[] = {
    { "nonce-type", 0 },
    { "mu", 0 },
    { "message-encoding", 1 },
};

/* Whether a parameter of that name, if there is one, is that number. */
static bool is_number(const OSSL_PARAM params[], const char *name, int number)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    int value;

    return p == NULL || (OSSL_PARAM_get_int(p, &value) && value == number);
}

static int set_context(struct sig_ctx *ctx, const OSSL_PARAM *p)
{
    void *to = ctx->params.context;

    ctx->params.context_len = 0;
    return p->data_size == 0 ||
           OSSL_PARAM_get_octet_string(p, &to, sizeof(ctx->params.context),
                                       &ctx->params.context_len) ||
           prov_raise_rv(ctx->prov, P11_PARAMETER,
                         "a context has at most %zu bytes",
                         sizeof(ctx->params.context));
}

/*
 * A context and a deterministic signature are ML-DSA's; the rest is refused,
 * since a plain signature would be another one than was asked for.
 */
static int set_variant(struct sig_ctx *ctx, const OSSL_PARAM params[])
{
    const struct prov_alg *alg = ctx->key != NULL ? ctx->key->alg : NULL;
    const OSSL_PARAM *context =
        OSSL_PARAM_locate_const(params, "context-string");
    bool plain = OSSL_PARAM_locate_const(params, "test-entropy") == NULL;
    struct sig_params *to = &ctx->params;
    const char *instance;

    if (!get_text(params, "instance", &instance) ||
        (context != NULL && !set_context(ctx, context)))
        return 0;
    if (OSSL_PARAM_locate_const(params, "deterministic") != NULL)
        to->deterministic = !is_number(params, "deterministic", 0);
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
        plain =
            plain && is_number(params, variants[i].name, variants[i].number);
    if (plain &&
        (instance == NULL ||
         (alg != NULL && strcasecmp(instance, alg->name) == 0)) &&
        ((to->context_len == 0 && !to->deterministic) ||
         (alg != NULL && alg->parameter_set != 0)))
        return 1;
    return prov_raise_rv(ctx->prov, P11_PARAMETER,
                         "only plain EdDSA, ECDSA and ML-DSA are offered: no "
                         "prehash, no mu, no encoded message, and only of "
                         "ML-DSA a context or a deterministic signature");
}

/* In this order: the last two go with PSS. */
static const struct {
    const char *name;
    int (*set)(struct sig_ctx *ctx, const OSSL_PARAM *p);
} rsa_setters[] = {
    { OSSL_SIGNATURE_PARAM_PAD_MODE, set_pad },
    { OSSL_SIGNATURE_PARAM_PSS_SALTLEN, set_salt },
    { OSSL_SIGNATURE_PARAM_MGF1_DIGEST, set_mgf1 },
};

/* EVP_PKEY_CTX_set_signature() of OpenSSL 3.4. */
static int set_expected(struct sig_ctx *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, "signature");

    if (p == NULL)
        return 1;
    OPENSSL_free(ctx->expected);
    ctx->expected = NULL;
    return OSSL_PARAM_get_octet_string(p, (void **)&ctx->expected, 0,
                                       &ctx->expected_len);
}

int prov_sigctx_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    if (params == NULL)
        return 1;
    if (ctx->verify != NULL)
        return set_expected(ctx, params) &&
               EVP_PKEY_CTX_set_params(ctx->verify, params);
    if (!set_variant(ctx, params) || !set_digest_param(ctx, params))
        return 0;
    if (ctx->key == NULL || ctx->key->alg->key_type != CKK_RSA)
        return 1;
    for (size_t i = 0; i < sizeof(rsa_setters) / sizeof(rsa_setters[0]); i++) {
        const OSSL_PARAM *p =
            OSSL_PARAM_locate_const(params, rsa_setters[i].name);

        if (p != NULL && !rsa_setters[i].set(ctx, p))
            return 0;
    }
    return 1;
}

const OSSL_PARAM *prov_sigctx_settable_params(void *vctx, void *provctx)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_PROPERTIES, NULL, 0),
        OSSL_PARAM_octet_string("context-string", NULL, 0),
        OSSL_PARAM_int("deterministic", NULL),
        OSSL_PARAM_int("message-encoding", NULL),
        OSSL_PARAM_int("mu", NULL),
        OSSL_PARAM_END
    };

    (void)vctx;
    (void)provctx;
    return settable;
}

/* What the default provider, the twin, says of params under our parameters. */
static int ask_twin(struct sig_ctx *ctx, OSSL_PARAM params[])
{
    EVP_PKEY *pkey = prov_key_params(ctx->key);
    const char *md = ctx->md != NULL ? EVP_MD_get0_name(ctx->md) : NULL;
    const struct sig_params *ours = &ctx->params;
    bool pss = ctx->key->alg->key_type == CKK_RSA &&
               ours->pad == RSA_PKCS1_PSS_PADDING;
    EVP_MD_CTX *twin = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    int ok;

    ok =
        twin != NULL && pkey != NULL &&
        EVP_DigestVerifyInit_ex(twin, &pctx, md, ctx->prov->libctx,
                                PROV_NOT_OURS, pkey, NULL) > 0 &&
        (!pss || EVP_PKEY_CTX_set_rsa_padding(pctx, ours->pad) > 0) &&
        (!pss || !ctx->salt_given || ours->md == NULL ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(
             pctx, (int)prov_pss_salt(ctx->key, ours)) > 0) &&
        (!pss || ours->mgf1 == NULL ||
         EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, ours->mgf1->name, NULL) > 0) &&
        EVP_PKEY_CTX_get_params(pctx, params) > 0;
    EVP_MD_CTX_free(twin);
    return ok;
}

static void take_default_salt(struct sig_ctx *ctx)
{
    int salt = RSA_PSS_SALTLEN_AUTO;
    /* EVP_PKEY_CTX_get_rsa_pss_saltlen() takes "auto-digestmax" for 0. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt), OSSL_PARAM_END
    };

    ERR_set_mark();
    ctx->params.salt_len = ask_twin(ctx, params) ? salt : RSA_PSS_SALTLEN_AUTO;
    ERR_pop_to_mark();
}

void prov_sigctx_settle_salt(struct sig_ctx *ctx)
{
    if (!ctx->salt_given)
        take_default_salt(ctx);
}

static int get_algorithm_id(struct sig_ctx *ctx, OSSL_PARAM *p)
{
    const struct prov_alg *alg = ctx->key->alg;
    OSSL_PARAM params[2] = { *p, OSSL_PARAM_END };
    int ok;

    if (alg->algorithm_id != NULL)
        return OSSL_PARAM_set_octet_string(p, alg->algorithm_id,
                                           alg->algorithm_id_len);
    ok = ask_twin(ctx, params);
    p->return_size = params[0].return_size;
    return ok;
}

int prov_sigctx_get_params(void *vctx, OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;
    const struct prov_digest *md = ctx->params.md;
    const struct prov_digest *mgf1 =
        ctx->params.mgf1 != NULL ? ctx->params.mgf1 : md;
    OSSL_PARAM *p;

    if (ctx->verify != NULL)
        return EVP_PKEY_CTX_get_params(ctx->verify, params);
    if (ctx->key == NULL)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    if (p != NULL && !get_algorithm_id(ctx, p))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST_SIZE);
    if (p != NULL && !OSSL_PARAM_set_size_t(p, md != NULL ? md->size : 0))
        return 0;
    if (!prov_set_text(params, OSSL_SIGNATURE_PARAM_DIGEST,
                       md != NULL ? md->name : ""))
        return 0;
    if (ctx->key->alg->key_type != CKK_RSA)
        return 1;
    if (OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) != NULL)
        prov_sigctx_settle_salt(ctx);
    return put_number(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, salt_lengths,
                      ctx->params.salt_len) &&
           put_number(params, OSSL_SIGNATURE_PARAM_PAD_MODE, pad_modes,
                      ctx->params.pad) &&
           prov_set_text(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST,
                         mgf1 != NULL ? mgf1->name : "");
}

const OSSL_PARAM *prov_sigctx_gettable_params(void *vctx, void *provctx)
{
    static const OSSL_PARAM gettable[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END
    };

    (void)vctx;
    (void)provctx;
    return gettable;
}
