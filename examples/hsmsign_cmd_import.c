/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign import-cert: store the certificate of a key beside it on its token,
 * with the key's CKA_ID and CKA_LABEL, which is how programs find it there.
 *
 * Whether it is the key's is what libcrypto says of the key that the provider
 * loads, so that a key without public half on the token is proved too.  That
 * comes first: it logs in, and who is logged in is not asked for a PIN again.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/err.h>
#include "hsmsign_token.h"
#include "hsmsign_tool.h"
#include "pkcs11/calls.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { KEY, CERT, TOKEN };

static const struct cli_option options[] = {
    [KEY] = { "key", "URI", true, "the private key, a pkcs11: URI" },
    [CERT] = { "cert", "FILE", true, "its certificate (PEM or DER)" },
    [TOKEN] = { "token", "URI", false,
                "store it there (default: the key's token)" },
};

static const struct cli_command command = {
    .name = "import-cert",
    .usage = "import-cert --key URI --cert FILE [--token URI]",
    .about = "Store the certificate of a key on its token.  Prints the "
             "certificate's URI.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

/* Answers of tokens that hold keys only, or have this switched off. */
static const CK_RV no_certificates[] = {
    CKR_FUNCTION_NOT_SUPPORTED, CKR_FUNCTION_FAILED,
    CKR_TEMPLATE_INCONSISTENT,  CKR_TEMPLATE_INCOMPLETE,
    CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_ATTRIBUTE_READ_ONLY,    CKR_ACTION_PROHIBITED,
    CKR_GENERAL_ERROR,
};

/* Owns all but the options. */
struct job {
    const char *const *option;
    STACK_OF(X509) * certs; /* the first is the key's */
    EVP_PKEY *key;
    struct token keys;    /* where the key is */
    struct token store;   /* where the certificate goes, if elsewhere */
    struct object wanted; /* the certificate with the key's label and id */
    struct objects found; /* the key */
};

static int load_cert(struct job *job)
{
    const char *path = job->option[CERT];

    if (!p11_uri_has_scheme(job->option[KEY]))
        return cli_usage("import-cert", "--key is a pkcs11: URI, not %s",
                         job->option[KEY]);
    job->certs = sk_X509_new_null();
    if (job->certs == NULL || !certs_load(path, job->certs))
        return cli_fail("certificate %s", path);
    if (sk_X509_num(job->certs) > 1)
        cli_warn("%s holds %d certificates; the first is stored", path,
                 sk_X509_num(job->certs));
    return CLI_OK;
}

static int check_key(struct job *job)
{
    const char *uri = job->option[KEY];

    if (!provider_load(NULL))
        return cli_fail("provider");
    job->key = signer_load_key(uri, UI_OpenSSL());
    if (job->key == NULL)
        return cli_fail("key %s", uri);
    ERR_clear_error();
    return signer_check_cert(job->key, sk_X509_value(job->certs, 0),
                             job->option[CERT]);
}

/* Its label and id, which the certificate is to have. */
static int find_key(struct job *job)
{
    struct token *t = &job->keys;
    struct p11_slot *slot = NULL;
    int status = token_open(t, job->option[KEY]);

    if (status == CLI_OK)
        status = token_find(t, &slot);
    if (status == CLI_OK)
        status = token_enter(t, slot, TOKEN_PIN_ANY);
    if (status == CLI_OK)
        status = objects_find(t, CKO_PRIVATE_KEY, &t->uri->object, &t->uri->id,
                              &job->found);
    if (status != CLI_OK)
        return status;
    if (job->found.count != 1)
        return cli_fail("%s: %zu private keys match %s", t->slot->where,
                        job->found.count, job->option[KEY]);
    job->wanted.class = CKO_CERTIFICATE;
    job->wanted.label = job->found.list[0].label;
    job->wanted.id = job->found.list[0].id;
    if (!job->wanted.label.present && !job->wanted.id.present)
        return cli_fail("%s: the key has neither CKA_LABEL nor CKA_ID, so that "
                        "nothing would tie the certificate to it; name the "
                        "file in hsmsign-public-file instead",
                        t->slot->where);
    return CLI_OK;
}

/*
 * Where it goes.  The configured PIN is the key's token's; another one gets
 * what its own URI says, or is asked for.
 */
static int enter_store(struct job *job)
{
    struct token *t = &job->store;
    struct p11_slot *slot = NULL;
    int status;

    if (job->option[TOKEN] == NULL)
        return CLI_OK;
    status = token_open(t, job->option[TOKEN]);
    if (status == CLI_OK &&
        (t->uri->object.present || t->uri->id.present || t->uri->type.present))
        status =
            cli_usage("import-cert", "--token names a token, not an object");
    if (status == CLI_OK)
        status = token_find(t, &slot);
    if (status == CLI_OK)
        status = token_enter(
            t, slot, slot == job->keys.slot ? TOKEN_PIN_ANY : TOKEN_PIN_URI);
    return status;
}

static struct token *store_of(struct job *job)
{
    return job->option[TOKEN] != NULL ? &job->store : &job->keys;
}

static int encode(struct job *job)
{
    int len = i2d_X509(sk_X509_value(job->certs, 0), &job->wanted.cert);

    if (len <= 0)
        return cli_fail("certificate %s", job->option[CERT]);
    job->wanted.cert_len = (size_t)len;
    if (!object_name(store_of(job), &job->wanted))
        return cli_fail("no memory for a URI");
    return CLI_OK;
}

/* The same one is there already, which is well, or another, which is not. */
static int check_free(struct job *job, bool *done)
{
    struct token *t = store_of(job);
    const struct object *wanted = &job->wanted;
    struct objects found = { 0 };
    int status =
        objects_find(t, CKO_CERTIFICATE, &wanted->label, &wanted->id, &found);

    for (size_t i = 0; status == CLI_OK && i < found.count; i++) {
        const struct object *other = &found.list[i];

        if (other->cert_len == wanted->cert_len &&
            memcmp(other->cert, wanted->cert, wanted->cert_len) == 0)
            *done = true;
    }
    if (status == CLI_OK && found.count > 0 && !*done)
        status = cli_fail("%s: another certificate has the key's label and id; "
                          "delete it first, with pkcs11-tool --delete-object "
                          "--type cert, or another tool of the token",
                          t->slot->where);
    objects_free(&found);
    return status;
}

/* A part of the certificate in DER; *der is to be freed. */
static CK_ATTRIBUTE der_of(CK_ATTRIBUTE_TYPE type, unsigned char **der, int len)
{
    return (CK_ATTRIBUTE){ type, *der, len > 0 ? (CK_ULONG)len : 0 };
}

static int refuse(const struct token *t, CK_RV rv)
{
    struct p11_error err = { 0 };

    for (size_t i = 0; i < COUNT(no_certificates); i++) {
        if (rv != no_certificates[i])
            continue;
        return cli_fail("C_CreateObject: %s (%s): the token takes no "
                        "certificates; name the file in hsmsign-public-file "
                        "instead, or on CloudHSM allow it: configure-pkcs11 "
                        "--enable-certificate-storage",
                        p11_rv_info(rv)->name, t->slot->where);
    }
    p11_error_call(&err, rv, "C_CreateObject", t->slot->where);
    return token_fail(&err);
}

static int store(struct job *job)
{
    static CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    static CK_CERTIFICATE_TYPE type = CKC_X_509;
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    struct token *t = store_of(job);
    const struct object *wanted = &job->wanted;
    X509 *cert = sk_X509_value(job->certs, 0);
    unsigned char *subject = NULL, *issuer = NULL, *serial = NULL;
    int subject_len = i2d_X509_NAME(X509_get_subject_name(cert), &subject);
    int issuer_len = i2d_X509_NAME(X509_get_issuer_name(cert), &issuer);
    int serial_len = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert), &serial);
    CK_ATTRIBUTE tmpl[10] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_CERTIFICATE_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_PRIVATE, &no, sizeof(no) },
        { CKA_VALUE, wanted->cert, wanted->cert_len },
        der_of(CKA_SUBJECT, &subject, subject_len),
        der_of(CKA_ISSUER, &issuer, issuer_len),
        der_of(CKA_SERIAL_NUMBER, &serial, serial_len),
    };
    CK_OBJECT_HANDLE handle = 0;
    CK_ULONG n = 8;
    CK_RV rv = CKR_HOST_MEMORY;

    if (wanted->label.present)
        tmpl[n++] =
            (CK_ATTRIBUTE){ CKA_LABEL, wanted->label.bytes, wanted->label.len };
    if (wanted->id.present)
        tmpl[n++] = (CK_ATTRIBUTE){ CKA_ID, wanted->id.bytes, wanted->id.len };
    if (subject_len > 0 && issuer_len > 0 && serial_len > 0)
        rv = P11_CALL(t->module->fl, C_CreateObject, t->session->handle, tmpl,
                      n, &handle);
    OPENSSL_free(subject);
    OPENSSL_free(issuer);
    OPENSSL_free(serial);
    return rv == CKR_OK ? CLI_OK : refuse(t, rv);
}

static void clean_up(struct job *job)
{
    OPENSSL_free(job->wanted.cert);
    OPENSSL_free(job->wanted.uri);
    objects_free(&job->found);
    token_close(&job->store);
    token_close(&job->keys);
    EVP_PKEY_free(job->key);
    sk_X509_pop_free(job->certs, X509_free);
    provider_unload();
}

int cmd_import_cert(int argc, char **argv)
{
    static int (*const steps[])(
        struct job *) = { load_cert, check_key, find_key, enter_store, encode };
    struct job job = { 0 };
    struct cli_values values;
    bool done = false;
    int status;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    job.option = values.option;
    for (size_t i = 0; i < COUNT(steps) && status == CLI_OK; i++)
        status = steps[i](&job);
    if (status == CLI_OK)
        status = check_free(&job, &done);
    if (status == CLI_OK && !done)
        status = store(&job);
    if (status == CLI_OK)
        (void)printf("%s\n", job.wanted.uri);
    clean_up(&job);
    return status;
}
