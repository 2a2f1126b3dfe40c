/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign signs documents with a key in a PKCS #11 token, and checks such
 * signatures.  Here is only which sub-commands there are.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include "hsmsign_tool.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    { "sign", cmd_sign, "sign a document: raw, CMS or CAdES" },
    { "verify", cmd_verify, "check such a signature" },
    { "uri2pem", cmd_uri2pem, "wrap a pkcs11: URI in a PEM file" },
    { "keys", cmd_keys, "list keys and certificates on tokens" },
    { "keygen", cmd_keygen, "make a key pair on a token" },
    { "csr", cmd_csr, "write a certificate request for a key" },
    { "selfsign", cmd_selfsign, "write a self-signed certificate for a key" },
    { "import-cert", cmd_import_cert,
      "store a key's certificate on its token" },
    { "doctor", cmd_doctor, "find out why signing does not work" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_version(void)
{
    (void)printf("hsmsign %s (%s)\n", HSMSIGN_VERSION,
                 OpenSSL_version(OPENSSL_VERSION));
    return CLI_OK;
}

static int print_help(void)
{
    size_t i;

    (void)printf("usage: hsmsign COMMAND [OPTION]...\n\n");
    for (i = 0; i < N_COMMANDS; i++)
        (void)printf("  %-12s%s\n", commands[i].name, commands[i].what);
    (void)printf("\n\"hsmsign COMMAND --help\" lists the options of one, "
                 "\"man hsmsign\" explains them.\n");
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    size_t i;

    if (argc < 2)
        return cli_usage("", "a command is missing");
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    if (strcmp(argv[1], "--help") == 0)
        return print_help();
    for (i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return cli_usage("", "unknown command %s", argv[1]);
}

int main(int argc, char **argv)
{
    int status;

    cli_init();
    status = run(argc, argv);
    /* A full disk may show only here. */
    if (fclose(stdout) != 0 && status == CLI_OK) {
        cli_raise_errno("fclose");
        return cli_fail("standard output");
    }
    return status;
}
