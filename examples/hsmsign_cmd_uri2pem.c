/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign uri2pem: many programs open key files only.  A PEM file that holds
 * the URI lets them in: the provider's decoder reads it and loads the key.
 */
#include <string.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include "hsmsign_tool.h"
#include "../pkcs11/uri.h"

/* The same in pkcs11-provider, so that its files serve here and back. */
#define PEM_LABEL   "PKCS#11 PROVIDER URI"
#define DESCRIPTION "PKCS#11 Provider URI v1.0"

enum { OUT };

static const struct cli_option options[] = {
    [OUT] = { "out", "FILE", false,
              "the PEM file; - (default) is standard\n"
              "                      output" },
};

static const struct cli_command command = {
    .name = "uri2pem",
    .usage = "uri2pem URI [--out FILE]",
    .about = "Wrap a pkcs11: URI in a PEM file, for programs that take only "
             "files.",
    .operand = "URI",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

static int check_uri(const char *text)
{
    struct p11_error error = { 0 };
    struct p11_uri *uri = NULL;
    CK_RV rv = p11_uri_parse(text, &uri, &error);
    bool has_pin = rv == CKR_OK && uri->pin.kind == P11_PIN_LITERAL;

    p11_uri_free(uri);
    if (rv != CKR_OK)
        return cli_fail("not a usable URI: %s", error.text);
    if (has_pin)
        return cli_fail("the URI has a pin-value, which would stand in the "
                        "file: use pin-source=file:PATH, or the PIN's option "
                        "in openssl.cnf");
    return CLI_OK;
}

/* SEQUENCE { VisibleString DESCRIPTION, UTF8String text } */
static int encode(const char *text, unsigned char **der)
{
    STACK_OF(ASN1_TYPE) *seq = sk_ASN1_TYPE_new_null();
    const struct {
        int type;
        const char *text;
    } parts[] = { { V_ASN1_VISIBLESTRING, DESCRIPTION },
                  { V_ASN1_UTF8STRING, text } };
    ASN1_TYPE *part = NULL;
    ASN1_STRING *string = NULL;
    int len = -1;
    size_t i;

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        part = ASN1_TYPE_new();
        string = ASN1_STRING_type_new(parts[i].type);
        if (part == NULL || string == NULL ||
            !ASN1_STRING_set(string, parts[i].text, -1) ||
            !sk_ASN1_TYPE_push(seq, part))
            goto out;
        ASN1_TYPE_set(part, parts[i].type, string);
        part = NULL;
        string = NULL;
    }
    len = i2d_ASN1_SEQUENCE_ANY(seq, der);
out:
    ASN1_STRING_free(string);
    ASN1_TYPE_free(part);
    sk_ASN1_TYPE_pop_free(seq, ASN1_TYPE_free);
    return len;
}

static int write_pem(const char *text, const char *path)
{
    struct output out = { .fd = -1 };
    BIO *mem = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = encode(text, &der);
    int ok = mem != NULL && len > 0 &&
             PEM_write_bio(mem, PEM_LABEL, "", der, len) > 0 &&
             output_open(&out, path) && output_commit(&out, mem, true);

    output_discard(&out);
    OPENSSL_free(der);
    BIO_free(mem);
    return ok ? CLI_OK : cli_fail("cannot write %s", output_name(path));
}

int cmd_uri2pem(int argc, char **argv)
{
    struct cli_values values;
    const char *path = NULL;
    int status;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    path = values.option[OUT] != NULL ? values.option[OUT] : "-";
    status = check_uri(values.operand);
    return status == CLI_OK ? write_pem(values.operand, path) : status;
}
