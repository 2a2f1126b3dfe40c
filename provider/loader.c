/* SPDX-License-Identifier: Apache-2.0 */
/* From a URI to a key: what the store and the PEM decoder share. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "loader.h"
#include "sign.h"

static bool ask_for_pin(void *arg, const char *label, char *buf, size_t size,
                        size_t *len)
{
    const struct prov_load *load = arg;
    char info[80];
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PASSPHRASE_PARAM_INFO,
                                                   info, 0),
                            OSSL_PARAM_END };

    snprintf(info, sizeof(info), "token \"%s\" (its PIN)", label);
    params[0].data_size = strlen(info);
    return load->pw_cb(buf, size, len, params, load->pw_arg) > 0;
}

void prov_load_init(struct prov_load *load, struct prov_ctx *ctx,
                    const struct p11_uri *uri,
                    const struct p11_pin_source *given,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    bool is_given = given != NULL && given->kind != P11_PIN_NONE;

    *load = (struct prov_load){
        .ctx = ctx,
        .uri = uri,
        .pin = { .uri = &uri->pin,
                 .config = is_given ? given : &ctx->config.pin,
                 .prompt = pw_cb != NULL ? ask_for_pin : NULL,
                 .prompt_arg = load },
        .pw_cb = pw_cb,
        .pw_arg = pw_arg,
    };
}

/* Whether both exist and are one file, or one directory. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* RFC 7512, 2.3: module-path is the module, or the directory it is in. */
static bool is_module_path(const char *module, const char *path)
{
    const char *slash = strrchr(module, '/');
    char *directory;
    bool same;

    if (strcmp(module, path) == 0 || is_same_file(module, path))
        return true;
    if (slash == NULL)
        return false;
    directory = OPENSSL_strndup(module, (size_t)(slash - module) + 1);
    same = directory != NULL && is_same_file(directory, path);
    OPENSSL_free(directory);
    return same;
}

/*
 * And module-name is its name in any case, without "lib" and ".so", behind
 * which there may be a version.
 */
static bool is_module_name(const char *module, const char *name)
{
    const char *slash = strrchr(module, '/');
    const char *file = slash != NULL ? slash + 1 : module;
    size_t len = strlen(name);
    bool same = false;

    for (int lib = 0; lib < 2 && !same; lib++) {
        same = strncasecmp(file, name, len) == 0 &&
               (file[len] == '\0' ||
                (strncasecmp(file + len, ".so", 3) == 0 &&
                 (file[len + 3] == '\0' || file[len + 3] == '.')));
        if (strncasecmp(file, "lib", 3) != 0)
            break;
        file += 3;
    }
    return same && len > 0;
}

/* They choose code to run: not for whoever gives the URI. */
static CK_RV check_module(const struct prov_load *load, struct p11_error *err)
{
    const char *module = load->ctx->config.module_path;
    const struct p11_uri *uri = load->uri;
    const char *wrong = NULL;

    if (uri->module_path.present &&
        !is_module_path(module, uri->module_path.bytes))
        wrong = "module-path";
    else if (uri->module_name.present &&
             !is_module_name(module, uri->module_name.bytes))
        wrong = "module-name";
    if (wrong == NULL)
        return CKR_OK;
    return p11_error_set(err, P11_UNSUPPORTED,
                         "%s names another module than the one configured, %s, "
                         "and a URI does not choose one; set "
                         "pkcs11-module-path or HSM_MODULE, or leave it out",
                         wrong, module);
}

CK_RV prov_load_module(const struct prov_load *load, struct p11_module **module,
                       struct p11_error *err)
{
    CK_RV rv = check_module(load, err);

    return rv == CKR_OK ? prov_module(load->ctx, module, err) : rv;
}

static CK_RV set_alg(struct prov_key *key, const struct p11_attrs *attrs,
                     const char *where, struct p11_error *err)
{
    CK_KEY_TYPE type =
        p11_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
    CK_ULONG set =
        p11_attrs_ulong(attrs, CKA_PARAMETER_SET, CK_UNAVAILABLE_INFORMATION);

    key->alg = prov_alg_find(attrs);
    if (key->alg != NULL)
        return prov_alg_check(key->ctx, key->alg, where, err);
    if (type == CKK_ML_DSA)
        return p11_error_set(err, P11_KEY_UNUSABLE,
                             "%s: an ML-DSA key with the parameter set 0x%lx, "
                             "which is none of ML-DSA-44, -65 and -87; a "
                             "vendor's numbers go into hsmsign-vendor-numbers",
                             where, set);
    return p11_error_set(err, P11_KEY_UNUSABLE,
                         "%s: key type 0x%lx; RSA, EC, Ed25519, Ed448 and "
                         "ML-DSA keys sign here; a vendor's numbers go into "
                         "hsmsign-vendor-numbers",
                         where, type);
}

/* A key without curve could not even say how long its signatures are. */
static CK_RV check_size(const struct prov_key *key, const char *where,
                        struct p11_error *err)
{
    if (prov_sign_size(key) == 0)
        return p11_error_set(err, P11_KEY_UNUSABLE,
                             "%s: its curve or modulus cannot be read, or is "
                             "a curve that libcrypto does not have by name",
                             where);
    return CKR_OK;
}

static CK_RV load_key(const struct prov_load *load, struct prov_key *key,
                      struct p11_error *err)
{
    struct p11_module *module;
    const char *where;
    CK_RV rv = prov_load_module(load, &module, err);

    if (rv == CKR_OK)
        rv = p11_key_load(module, load->uri, &load->pin, &key->token_key, err);
    if (rv != CKR_OK)
        return rv;
    where = p11_key_where(key->token_key);
    rv = set_alg(key, p11_key_attrs(key->token_key), where, err);
    if (rv == CKR_OK)
        rv = prov_public_find(key, err);
    if (rv == CKR_OK)
        rv = check_size(key, where, err);
    return rv == CKR_OK ? prov_key_check_pinned(key, load->uri, err) : rv;
}

CK_RV prov_load_key(const struct prov_load *load, struct prov_key **key,
                    struct p11_error *err)
{
    int saved = errno;
    CK_RV rv;

    *key = prov_key_new(load->ctx, NULL);
    if (*key == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    /* Tokens that use libcrypto leave their errors in our caller's queue. */
    ERR_set_mark();
    rv = load_key(load, *key, err);
    ERR_pop_to_mark();
    /* And in errno, at which some callers look first (Python's ssl). */
    errno = saved;
    if (rv != CKR_OK) {
        prov_key_free(*key);
        *key = NULL;
    }
    return rv;
}

CK_RV prov_key_from_attrs(struct prov_ctx *ctx, const struct p11_attrs *attrs,
                          struct p11_key *token_key, const char *where,
                          struct prov_key **key, struct p11_error *err)
{
    struct prov_key *k = prov_key_new(ctx, NULL);
    EVP_PKEY *pub = NULL;
    CK_RV rv;

    if (k == NULL) {
        p11_key_free(token_key);
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    }
    k->token_key = token_key;
    rv = set_alg(k, attrs, where, err);
    if (rv == CKR_OK && token_key != NULL)
        rv = prov_public_read(k, err);
    else if (rv == CKR_OK)
        pub = prov_pubkey(ctx, k->alg, attrs, NULL);
    if (pub != NULL)
        prov_key_set_public(k, pub);
    else if (rv == CKR_OK && token_key == NULL)
        rv = p11_error_set(err, P11_KEY_UNUSABLE,
                           "%s: the public key's value cannot be read", where);
    if (rv == CKR_OK)
        rv = check_size(k, where, err);
    if (rv == CKR_OK)
        *key = k;
    else
        prov_key_free(k);
    return rv;
}

int prov_key_hand_over(struct prov_key *key, OSSL_CALLBACK *cb, void *arg)
{
    struct prov_key *reference = key;
    int type = OSSL_OBJECT_PKEY, ok;
    OSSL_PARAM params[] = { OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
                            OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
                                                   (char *)key->alg->name, 0),
                            OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE,
                                                    &reference, sizeof(void *)),
                            OSSL_PARAM_END };

    params[1].data_size = strlen(key->alg->name);
    prov_key_up_ref(key);
    ok = cb(params, arg);
    /* load() sets it to NULL when it takes it. */
    prov_key_free(reference);
    return ok;
}
