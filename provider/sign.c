/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/rsa.h>
#include <string.h>
#include "pss.h"
#include "sign.h"

/* What a C_Sign takes, and the mechanism with its parameter. */
struct sig_input {
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_PSS_PARAMS pss;
    struct p11_eddsa_params eddsa; /* all zero: pure, without a context */
    struct p11_sign_context additional;
    const unsigned char *data;
    size_t len;
    size_t size;          /* of what C_Sign answers */
    unsigned char *block; /* of PROV_MODULUS_MAX, to put data together in */
};

/* What differs between signature algorithms, and nothing else. */
struct sig_alg {
    const struct prov_alg *alg;
    int pad; /* RSA only */
    CK_MECHANISM_TYPE mechanism;
    /* NULL: the data as it is. */
    CK_RV(*prepare)
    (struct prov_key *key, const struct sig_params *params,
     struct sig_input *in, struct p11_error *err);
    /* The token answered rv: sign in another way, or return rv.  NULL: none. */
    CK_RV(*refused)
    (struct prov_key *key, const struct sig_params *params,
     struct sig_input *in, CK_RV rv, unsigned char *sig, size_t *sig_len,
     struct p11_error *err);
    /* In place: raw is final if NULL. */
    CK_RV (*encode)(unsigned char *sig, size_t size, size_t *len);
};

/* RFC 8017, 9.2: the token pads, we put the DigestInfo together. */
static CK_RV prepare_pkcs1(struct prov_key *key,
                           const struct sig_params *params,
                           struct sig_input *in, struct p11_error *err)
{
    const struct prov_digest *md = params->md;

    if (md != NULL) {
        /* The SEQUENCE's length is that of all that follows. */
        size_t prefix_len = 2 + md->prefix[1] - md->size;

        memcpy(in->block, md->prefix, prefix_len);
        memcpy(in->block + prefix_len, in->data, in->len);
        in->data = in->block;
        in->len += prefix_len;
    }
    if (in->len + RSA_PKCS1_PADDING_SIZE > in->size)
        return p11_error_set(err, P11_DIGEST,
                             "%s: %zu bytes are too long for a key of %zu "
                             "bytes; choose a shorter digest",
                             p11_key_where(key->token_key), in->len, in->size);
    return CKR_OK;
}

/* RFC 8017, 9.1.1: the room that the modulus leaves; < 0: none. */
static long pss_room(const struct prov_key *key, const struct prov_digest *md)
{
    return (EVP_PKEY_get_bits(prov_key_params(key)) - 1 + 7) / 8 -
           (long)md->size - 2;
}

long prov_pss_salt(const struct prov_key *key, const struct sig_params *params)
{
    long size = (long)params->md->size, max = pss_room(key, params->md);

    switch (params->salt_len) {
    case RSA_PSS_SALTLEN_DIGEST:
        return size;
    case RSA_PSS_SALTLEN_AUTO:
    case RSA_PSS_SALTLEN_MAX:
        return max;
    case PROV_PSS_SALTLEN_AUTO_DIGEST_MAX:
        return size < max ? size : max;
    default:
        return params->salt_len;
    }
}

static const struct prov_digest *pss_mgf1(const struct sig_params *params)
{
    return params->mgf1 != NULL ? params->mgf1 : params->md;
}

/* Of key->pss_here[md]: the bit for that MGF1 digest. */
static unsigned pss_bit(const struct sig_params *params)
{
    return 1U << (pss_mgf1(params) - prov_digests);
}

/* What PKCS #11 has no number for, no token can be asked for. */
static bool is_padded_here(const struct prov_key *key,
                           const struct sig_params *params)
{
    return pss_mgf1(params)->mgf == 0 ||
           (atomic_load(&key->pss_here[params->md - prov_digests]) &
            pss_bit(params)) != 0;
}

/* Pad here, for CKM_RSA_X_509; in->pss.sLen is the salt's length. */
static CK_RV pad_pss(const struct prov_key *key,
                     const struct sig_params *params, struct sig_input *in,
                     struct p11_error *err)
{
    struct prov_ctx *ctx = key->ctx;
    const struct prov_digest *row;
    EVP_MD *md = prov_digest_fetch(ctx, params->md->name, NULL, &row);
    EVP_MD *mgf1 = prov_digest_fetch(ctx, pss_mgf1(params)->name, NULL, &row);
    int bits = EVP_PKEY_get_bits(prov_key_params(key));
    int ok = md != NULL && mgf1 != NULL &&
             prov_pss_pad(ctx->libctx, md, mgf1, in->data, in->pss.sLen,
                          (size_t)bits, in->block);

    EVP_MD_free(md);
    EVP_MD_free(mgf1);
    in->data = in->block;
    in->len = in->size;
    in->mechanism = (CK_MECHANISM){ .mechanism = CKM_RSA_X_509 };
    return ok ? CKR_OK
              : p11_error_set(err, P11_DIGEST,
                              "%s: no provider offers %s and random numbers; "
                              "activate \"default\"",
                              p11_key_where(key->token_key),
                              pss_mgf1(params)->name);
}

static CK_RV prepare_pss(struct prov_key *key, const struct sig_params *params,
                         struct sig_input *in, struct p11_error *err)
{
    const struct prov_digest *md = params->md;
    const char *where = p11_key_where(key->token_key);
    long max, salt;

    if (md == NULL)
        return p11_error_set(err, P11_DIGEST, "%s: PSS wants a digest", where);
    max = pss_room(key, md);
    salt = prov_pss_salt(key, params);
    if (salt < 0 || salt > max || salt < key->limits.min_salt)
        return p11_error_set(err, P11_PARAMETER,
                             "%s: a PSS salt of %ld bytes; this key and %s "
                             "leave room for %ld, and it wants %ld",
                             where, salt, md->name, max, key->limits.min_salt);
    in->pss.hashAlg = md->mechanism;
    in->pss.mgf = pss_mgf1(params)->mgf;
    in->pss.sLen = (CK_ULONG)salt;
    in->mechanism.pParameter = &in->pss;
    in->mechanism.ulParameterLen = sizeof(in->pss);
    if (is_padded_here(key, params))
        return pad_pss(key, params, in, err);
    return CKR_OK;
}

/*
 * PKCS #11 v2.40, 5.1.6: what C_SignInit answers to a mechanism or parameter
 * that it does not take.  CKR_ARGUMENTS_BAD is SoftHSM's; from the C_Login
 * that CKA_ALWAYS_AUTHENTICATE adds it may mean the PIN, which is not tried
 * twice.
 */
static bool is_refusal(const struct prov_key *key, CK_RV rv)
{
    return rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_MECHANISM_INVALID ||
           (rv == CKR_ARGUMENTS_BAD &&
            !p11_attrs_bool(p11_key_attrs(key->token_key),
                            CKA_ALWAYS_AUTHENTICATE, false));
}

/* Without PSS in the token: pad here, and remember it if that works. */
static CK_RV pss_refused(struct prov_key *key, const struct sig_params *params,
                         struct sig_input *in, CK_RV rv, unsigned char *sig,
                         size_t *sig_len, struct p11_error *err)
{
    const char *refusal = p11_rv_info(rv)->name;

    if (!is_refusal(key, rv))
        return rv;
    if (in->mechanism.mechanism == CKM_RSA_PKCS_PSS) {
        rv = pad_pss(key, params, in, err);
        if (rv == CKR_OK)
            rv = p11_key_sign(key->token_key, &in->mechanism, in->data, in->len,
                              sig, sig_len, err);
    }
    if (rv == CKR_OK)
        atomic_fetch_or(&key->pss_here[params->md - prov_digests],
                        pss_bit(params));
    else if (is_refusal(key, rv))
        p11_error_set(err, rv,
                      "%s: the token has no PSS with %s and MGF1 with %s (%s), "
                      "nor CKM_RSA_X_509 for what is padded here (%s); choose "
                      "another digest",
                      p11_key_where(key->token_key), params->md->name,
                      pss_mgf1(params)->name, refusal, p11_rv_info(rv)->name);
    return rv;
}

/* RFC 8017, 5.2.1: the number itself; it must be less than the modulus. */
static CK_RV prepare_raw(struct prov_key *key, const struct sig_params *params,
                         struct sig_input *in, struct p11_error *err)
{
    (void)params;
    if (in->len == in->size)
        return CKR_OK;
    return p11_error_set(err, P11_DIGEST,
                         "%s: %zu bytes; without padding, %zu are signed as "
                         "they are",
                         p11_key_where(key->token_key), in->len, in->size);
}

static size_t ec_order_size(const struct prov_key *key)
{
    return ((size_t)EVP_PKEY_get_bits(prov_key_params(key)) + 7) / 8;
}

/* FIPS 186-5, 6.4.1: the leftmost bits; some tokens refuse more. */
static CK_RV prepare_ecdsa(struct prov_key *key,
                           const struct sig_params *params,
                           struct sig_input *in, struct p11_error *err)
{
    (void)key;
    (void)params;
    (void)err;
    if (in->len > in->size / 2)
        in->len = in->size / 2;
    return CKR_OK;
}

/* One INTEGER of an Ecdsa-Sig-Value, without leading zeros; its length. */
static size_t put_integer(unsigned char *out, const unsigned char *in,
                          size_t len)
{
    size_t n = 0;

    while (len > 0 && *in == 0) {
        in++;
        len--;
    }
    if (len == 0)
        return 0; /* neither r nor s may be zero */
    out[n++] = 0x02;
    out[n++] = (unsigned char)(len + (*in >> 7));
    if ((*in & 0x80) != 0)
        out[n++] = 0;
    memcpy(out + n, in, len);
    return n + len;
}

/*
 * RFC 3279, 2.2.3: the token's r||s as a SEQUENCE of two INTEGERs.  By hand,
 * since ECDSA_SIG costs more than all else that we do for a signature.
 */
static CK_RV encode_ecdsa(unsigned char *sig, size_t size, size_t *len)
{
    unsigned char body[2 * (66 + 3)];
    size_t half = *len / 2, r, s, n, head;

    if (half > 66)
        return CKR_SIGNATURE_LEN_RANGE;
    r = put_integer(body, sig, half);
    s = put_integer(body + r, sig + half, half);
    if (r == 0 || s == 0)
        return CKR_SIGNATURE_LEN_RANGE;
    n = r + s;
    head = n < 0x80 ? 2 : 3;
    if (head + n > size)
        return CKR_BUFFER_TOO_SMALL;
    sig[0] = 0x30;
    sig[1] = 0x81; /* overwritten by a length of one byte */
    sig[head - 1] = (unsigned char)n;
    memcpy(sig + head, body, n);
    *len = head + n;
    return CKR_OK;
}

/* PKCS #11 v3.0, 2.3.14: what Ed25519 is without, Ed448 has to be told. */
static CK_RV prepare_ed448(struct prov_key *key,
                           const struct sig_params *params,
                           struct sig_input *in, struct p11_error *err)
{
    (void)key;
    (void)params;
    (void)err;
    in->mechanism.pParameter = &in->eddsa;
    in->mechanism.ulParameterLen = sizeof(in->eddsa);
    return CKR_OK;
}

/* PKCS #11 v3.2, 6.67.6: without a parameter hedged if it can, no context. */
static CK_RV prepare_ml_dsa(struct prov_key *key,
                            const struct sig_params *params,
                            struct sig_input *in, struct p11_error *err)
{
    if (params->context_len == 0 && !params->deterministic)
        return CKR_OK;
    if (p11_key_mechanism(key->token_key, CKM_ML_DSA) != CKM_ML_DSA)
        return p11_error_set(err, P11_PARAMETER,
                             "%s: the parameter of a vendor's ML-DSA mechanism "
                             "is not known: no context, not deterministic",
                             p11_key_where(key->token_key));
    in->additional.hedgeVariant = params->deterministic
                                      ? CKH_DETERMINISTIC_REQUIRED
                                      : CKH_HEDGE_PREFERRED;
    in->additional.pContext = (CK_BYTE *)params->context;
    in->additional.ulContextLen = params->context_len;
    in->mechanism.pParameter = &in->additional;
    in->mechanism.ulParameterLen = sizeof(in->additional);
    return CKR_OK;
}

#define ML_DSA(set)                                                            \
    {                                                                          \
        &prov_alg_ml_dsa_##set, 0, CKM_ML_DSA, prepare_ml_dsa, NULL, NULL      \
    }
static const struct sig_alg sig_algs[] = {
    { &prov_alg_rsa, RSA_PKCS1_PADDING, CKM_RSA_PKCS, prepare_pkcs1, NULL,
      NULL },
    { &prov_alg_rsa, RSA_PKCS1_PSS_PADDING, CKM_RSA_PKCS_PSS, prepare_pss,
      pss_refused, NULL },
    { &prov_alg_rsa_pss, RSA_PKCS1_PSS_PADDING, CKM_RSA_PKCS_PSS, prepare_pss,
      pss_refused, NULL },
    { &prov_alg_rsa, RSA_NO_PADDING, CKM_RSA_X_509, prepare_raw, NULL, NULL },
    { &prov_alg_ec, 0, CKM_ECDSA, prepare_ecdsa, NULL, encode_ecdsa },
    { &prov_alg_ed25519, 0, CKM_EDDSA, NULL, NULL, NULL },
    { &prov_alg_ed448, 0, CKM_EDDSA, prepare_ed448, NULL, NULL },
    ML_DSA(44),
    ML_DSA(65),
    ML_DSA(87),
};

static const struct sig_alg *find_sig_alg(const struct prov_key *key, int pad)
{
    for (size_t i = 0; i < sizeof(sig_algs) / sizeof(sig_algs[0]); i++) {
        if (sig_algs[i].alg == key->alg &&
            (sig_algs[i].pad == 0 || sig_algs[i].pad == pad))
            return &sig_algs[i];
    }
    return NULL;
}

CK_MECHANISM_TYPE prov_sign_mechanism(const struct prov_key *key,
                                      const struct sig_params *params)
{
    const struct sig_alg *alg = find_sig_alg(key, params->pad);

    if (alg == NULL)
        return CK_UNAVAILABLE_INFORMATION;
    if (alg->mechanism == CKM_RSA_PKCS_PSS && params->md != NULL &&
        is_padded_here(key, params))
        return CKM_RSA_X_509;
    return alg->mechanism;
}

size_t prov_sign_size(const struct prov_key *key)
{
    EVP_PKEY *params = prov_key_params(key);
    int size = key->alg->max_size;

    if (size == 0 && params != NULL)
        size = EVP_PKEY_get_size(params);
    return size > 0 ? (size_t)size : 0;
}

CK_RV prov_sign(struct prov_key *key, const struct sig_params *params,
                const unsigned char *data, size_t len, unsigned char *sig,
                size_t size, size_t *sig_len, struct p11_error *err)
{
    const struct sig_alg *alg = find_sig_alg(key, params->pad);
    unsigned char block[PROV_MODULUS_MAX];
    /* The empty message may come as NULL, which tokens refuse. */
    struct sig_input in = { .data =
                                data != NULL ? data : (const unsigned char *)"",
                            .len = len,
                            .block = block };
    CK_RV rv = CKR_OK;

    if (alg == NULL)
        return p11_error_set(err, P11_PARAMETER,
                             "%s: padding mode %d is not offered",
                             p11_key_where(key->token_key), params->pad);
    if (!p11_key_may_sign(key->token_key))
        return p11_error_call(err, P11_KEY_NO_SIGN, "CKA_SIGN is false",
                              p11_key_where(key->token_key));
    if (params->md != NULL && len != params->md->size)
        return p11_error_set(err, P11_DIGEST,
                             "%s: %zu bytes are no %s digest, which has %zu",
                             p11_key_where(key->token_key), len,
                             params->md->name, params->md->size);
    in.mechanism.mechanism = alg->mechanism;
    /* PKCS #11 v2.40, 2.1.11 and 2.3.1: exactly this much. */
    in.size =
        alg->encode != NULL ? 2 * ec_order_size(key) : prov_sign_size(key);
    if (alg->pad != 0 && in.size > sizeof(block))
        return p11_error_set(
            err, P11_KEY_UNUSABLE, "%s: a modulus of %zu bytes; %zu are taken",
            p11_key_where(key->token_key), in.size, sizeof(block));
    if (alg->prepare != NULL)
        rv = alg->prepare(key, params, &in, err);
    if (rv != CKR_OK)
        return rv;
    if (in.size > size)
        return p11_error_set(err, P11_PARAMETER,
                             "%s: %zu bytes are too few for the signature",
                             p11_key_where(key->token_key), size);
    *sig_len = in.size;
    rv = p11_key_sign(key->token_key, &in.mechanism, in.data, in.len, sig,
                      sig_len, err);
    if (rv != CKR_OK && alg->refused != NULL)
        rv = alg->refused(key, params, &in, rv, sig, sig_len, err);
    if (rv != CKR_OK)
        return rv;
    if (*sig_len != in.size)
        rv = CKR_SIGNATURE_LEN_RANGE;
    else if (alg->encode != NULL)
        rv = alg->encode(sig, size, sig_len);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "the token's answer to C_Sign",
                              p11_key_where(key->token_key));
    return CKR_OK;
}
