/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../hsmsign_tool.h"
#include "options.h"
#include "trial.h"

struct option {
    const char *name, *env, *value; /* value: NULL for a switch */
    size_t offset;
    unsigned long min, max; /* max 0: not a number */
    const char *preset, *help;
};

#define FIELD(name) offsetof(struct options, name)
#define ENV(name)   "SIGNING_SERVICE_" name
#define VERIFY      "--verify-audit"

static const struct option table[] = {
    { "listen", ENV("LISTEN"), "ADDRESS", FIELD(listen), 0, 0, "127.0.0.1",
      "where to listen; 0.0.0.0 or :: is everywhere,\n"
      "                              unix:PATH a socket there" },
    { "port", ENV("PORT"), "N", FIELD(port), 0, 65535, "6000",
      "0 takes a free one" },
    { "key", "HSM_KEY", "URI", FIELD(key), 0, 0, "pkcs11:type=private",
      "the private key; has to match exactly one" },
    { "cert", "HSM_CERT", "FILE", FIELD(cert), 0, 0, NULL,
      "its certificate, or a pkcs11: URI" },
    { "chain", "HSM_CHAIN", "FILE", FIELD(chain), 0, 0, NULL,
      "the certificates above it" },
    { "certs", ENV("CERTS"), "DIR", FIELD(certs), 0, 0, "/certs",
      "where certificates are that are neither\n"
      "                              given nor on the token" },
    { "profiles", ENV("PROFILES"), "FILE", FIELD(profiles), 0, 0, NULL,
      "several keys, instead of --key, --cert, --chain" },
    { "users", ENV("USERS"), "FILE", FIELD(users), 0, 0, NULL,
      "who may sign; without it everybody may" },
    { "allow-origin", ENV("ALLOW_ORIGIN"), "ORIGINS", FIELD(origins), 0, 0,
      NULL, "web pages that may ask, separated by commas" },
    { "web", ENV("WEB"), "DIR", FIELD(web), 0, 0, NULL,
      "a web page to serve at /web/" },
    { "workers", ENV("WORKERS"), "N", FIELD(workers), 1, 1024, "8",
      "how many sign at once, each with a session" },
    { "queue", ENV("QUEUE"), "N", FIELD(queue), 1, 100000, "256",
      "how many may wait; more are answered 503" },
    { "deadline", ENV("DEADLINE"), "MS", FIELD(deadline), 100, 600000, "4000",
      "time for a signature, with all that is tried\n"
      "                              again" },
    { "max-body", ENV("MAX_BODY"), "MIB", FIELD(body), 1, 4096, "100",
      "larger bodies are answered 413" },
    { "drain", ENV("DRAIN"), "SECONDS", FIELD(drain), 0, 3600, "10",
      "time to finish what runs at SIGTERM" },
    { "rate", ENV("RATE"), "N", FIELD(rate), 0, 1000000, "0",
      "signatures a second; more are answered 503;\n"
      "                              0 is any number" },
    { "connections", ENV("CONNECTIONS"), "N", FIELD(connections), 16, 100000,
      "4096", "how many may be open" },
    { "idle-timeout", ENV("IDLE_TIMEOUT"), "SECONDS", FIELD(idle), 1, 86400,
      "60", "time for the next request's head" },
    { "body-timeout", ENV("BODY_TIMEOUT"), "SECONDS", FIELD(body_time), 1,
      86400, "60", "time for a request's body" },
    { "user", ENV("USER"), "NAME", FIELD(user), 0, 0, NULL,
      "whose rights to take, when started as root" },
    { "pss", ENV("PSS"), NULL, FIELD(pss), 0, 1, "0", "RSA: sign with PSS" },
    { "signing-time", ENV("SIGNING_TIME"), NULL, FIELD(time), 0, 1, "0",
      "say the time in sign_pkcs7 for cms" },
    { "allow-sha1", ENV("ALLOW_SHA1"), NULL, FIELD(sha1), 0, 1, "0",
      "sign SHA-1 digests" },
    { "strict-attributes", ENV("STRICT_ATTRIBUTES"), NULL,
      FIELD(strict_attributes), 0, 1, "0",
      "sign: nothing but signed attributes" },
    { "strict-digest", ENV("STRICT_DIGEST"), NULL, FIELD(strict_digest), 0, 1,
      "0",
      "sign_pkcs7: refuse a digest that is not of the\n"
      "                              contents" },
    { "audit", ENV("AUDIT"), "FILE", FIELD(audit), 0, 0, NULL,
      "where a line is written for each signature" },
    { "audit-sync", ENV("AUDIT_SYNC"), NULL, FIELD(audit_sync), 0, 1, "0",
      "each line is on the disk before the answer" },
    { "audit-optional", ENV("AUDIT_OPTIONAL"), NULL, FIELD(audit_optional), 0,
      1, "0", "sign also when it cannot be written" },
    { "check", NULL, NULL, FIELD(check), 0, TRIAL_CHECK, "0",
      "say whether it would start, and end" },
};
#define COUNT (sizeof(table) / sizeof(table[0]))

static void help(void)
{
    (void)printf("usage: hsmsignd [OPTION]...\n\n"
                 "Signs for Nutrient Document Engine with a key on a PKCS #11 "
                 "token.\nHSM_MODULE and HSM_PIN (or HSM_PIN_FILE) name the "
                 "token; see hsmsignd(8).\n\n");
    for (const struct option *o = table; o < table + COUNT; o++) {
        char left[40];

        (void)snprintf(left, sizeof(left), "--%s%s%s", o->name,
                       o->value != NULL ? " " : "",
                       o->value != NULL ? o->value : "");
        (void)printf("  %-27s %s", left, o->help);
        if (o->value != NULL && o->preset != NULL)
            (void)printf(" (%s)", o->preset);
        (void)printf("\n");
        if (o->env != NULL)
            (void)printf("%30sor %s\n", "", o->env);
    }
    (void)printf("  %-27s check such files, in order, and end\n"
                 "  %-27s print this\n  %-27s print the version\n",
                 VERIFY " FILE...", "--help", "--version");
}

/* where: what the value comes from, for the message */
static bool set(struct options *options, const struct option *o,
                const char *where, const char *value)
{
    char *field = (char *)options + o->offset, *end = NULL;
    unsigned long number;

    if (o->max == 0) {
        /* Compose files hand on variables that are not set as empty ones. */
        if (*value != '\0')
            *(const char **)field = value;
        return true;
    }
    errno = 0;
    number = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 ||
        number < o->min || number > o->max) {
        (void)fprintf(stderr,
                      "hsmsignd: %s is a number from %lu to %lu, not "
                      "%s\n",
                      where, o->min, o->max, value);
        return false;
    }
    *(unsigned long *)field = number;
    return true;
}

static bool from_environment(struct options *options)
{
    for (const struct option *o = table; o < table + COUNT; o++) {
        /* There are no other threads yet.  NOLINTNEXTLINE */
        const char *value = o->env != NULL ? getenv(o->env) : NULL;

        if (o->preset != NULL && !set(options, o, o->name, o->preset))
            return false;
        if (value != NULL && *value != '\0' && !set(options, o, o->env, value))
            return false;
    }
    return true;
}

/* --NAME VALUE, --NAME=VALUE or --NAME; returns where to go on, NULL: wrong */
static char **from_argument(struct options *options, char **argv)
{
    const char *arg = *argv, *value;
    size_t len = strcspn(arg, "=");

    for (const struct option *o = table; o < table + COUNT; o++) {
        if (strncmp(arg, "--", 2) != 0 || strlen(o->name) != len - 2 ||
            strncmp(arg + 2, o->name, len - 2) != 0)
            continue;
        value = arg[len] == '=' ? arg + len + 1 : NULL;
        if (o->value == NULL && value == NULL)
            value = "1";
        else if (value == NULL)
            value = *++argv;
        if (value == NULL) {
            (void)fprintf(stderr, "hsmsignd: %s needs a value\n", arg);
            return NULL;
        }
        return set(options, o, arg, value) ? argv + 1 : NULL;
    }
    /* What comes after "=" may be a URI with a PIN. */
    (void)fprintf(stderr,
                  "hsmsignd: unknown option %.*s; see hsmsignd --help\n",
                  (int)strcspn(arg, "="), arg);
    return NULL;
}

bool options_parse(struct options *options, char **argv, int *status)
{
    *options = (struct options){ 0 };
    *status = CLI_USAGE;
    if (!from_environment(options))
        return false;
    for (argv++; argv != NULL && *argv != NULL;) {
        if (strcmp(*argv, "--help") == 0) {
            help();
            *status = CLI_OK;
            return false;
        }
        if (strcmp(*argv, "--version") == 0) {
            (void)printf("hsmsignd %s\n", HSMSIGN_VERSION);
            *status = CLI_OK;
            return false;
        }
        if (strncmp(*argv, VERIFY "=", strlen(VERIFY "=")) == 0) {
            *argv += strlen(VERIFY "=");
            options->verify = argv;
            return true;
        }
        if (strcmp(*argv, VERIFY) == 0) {
            options->verify = argv + 1;
            if (argv[1] == NULL)
                (void)fprintf(stderr, "hsmsignd: %s needs a file\n", *argv);
            return argv[1] != NULL;
        }
        argv = from_argument(options, argv);
    }
    return argv != NULL;
}
