/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options, help and messages of hsmsign.
 *
 * A sub-command's options are a table from which both the parser and the help
 * are made, so that they cannot differ.  A message is one line on standard
 * error and goes through cli_clean: OpenSSL quotes a whole URI in its own
 * errors, and a PIN may stand in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <openssl/err.h>
#include "hsmsign_tool.h"

#define LINE_MAX_BYTES 8192 /* a path may have 4096 */

/* Values that getopt_long returns; above every character. */
#define OPTION_HELP  0x1000
#define OPTION_FIRST 0x1001

void cli_init(void)
{
    int fd;

    /*
     * A standard stream that is closed would lend its number to the next file
     * opened, and the signature go there.  Writing to this one fails.
     */
    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
    /* A token behind a socket, or a pipe: an error then, not a death. */
    (void)signal(SIGPIPE, SIG_IGN);
}

static char *find_nocase(char *text, const char *what)
{
    size_t n = strlen(what);

    for (; *text != '\0'; text++) {
        if (strncasecmp(text, what, n) == 0)
            return text;
    }
    return NULL;
}

void cli_clean(char *text)
{
    char *uri = find_nocase(text, "pkcs11:");
    char *pin = find_nocase(text, "pin-value=");
    char *query, *p;

    /* "pkcs11: URI" in a sentence is none. */
    while (uri != NULL && uri[7] == ' ')
        uri = find_nocase(uri + 7, "pkcs11:");
    query = uri == NULL ? NULL : strchr(uri, '?');
    /* A PIN may hold any character, so nobody knows where it ends. */
    if (query != NULL)
        *query = '\0';
    if (pin != NULL)
        *pin = '\0';
    for (p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
    while (p > text && p[-1] == ' ')
        *--p = '\0';
}

/* A reason comes after the text, behind a colon. */
static void __attribute__((format(printf, 3, 0)))
say(const char *head, const char *reason, const char *format, va_list args)
{
    const char *colon = reason[0] == '\0' || reason[0] == ' ' ? "" : ": ";
    char line[LINE_MAX_BYTES];

    (void)vsnprintf(line, sizeof(line), format, args);
    cli_clean(line);
    (void)fprintf(stderr, "hsmsign: %s%s%s%s\n", head, line, colon, reason);
}

int cli_usage(const char *command, const char *format, ...)
{
    char hint[64];
    va_list args;

    (void)snprintf(hint, sizeof(hint), " (see hsmsign %s%s--help)", command,
                   command[0] == '\0' ? "" : " ");
    va_start(args, format);
    say("", hint, format, args);
    va_end(args);
    return CLI_USAGE;
}

int cli_fail(const char *format, ...)
{
    char reason[LINE_MAX_BYTES];
    va_list args;

    (void)cli_reason(reason, sizeof(reason));
    va_start(args, format);
    say("", reason, format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_fail_for(const char *reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("", reason, format, args);
    va_end(args);
    return CLI_FAILED;
}

void cli_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("warning: ", "", format, args);
    va_end(args);
}

static void format_error(char *buf, size_t size, unsigned long error,
                         const char *data)
{
    const char *reason = ERR_reason_error_string(error);

    if (ERR_SYSTEM_ERROR(error)) {
        errno = ERR_GET_REASON(error);
        (void)snprintf(buf, size, "%m");
    } else if (reason == NULL) {
        (void)snprintf(buf, size, "error %08lX%s%s", error,
                       data[0] == '\0' ? "" : ": ", data);
    } else {
        (void)snprintf(buf, size, "%s%s%s", reason, data[0] == '\0' ? "" : ": ",
                       data);
    }
}

/*
 * How good an error is as the reason.  The first of a kind is the cause, the
 * later ones say who gave up.  A provider (its errors have a library number
 * that was given out at run time) knows best; then the system: OpenSSL raises
 * what it did not find before it tries the next possibility.
 */
static int rank(unsigned long error)
{
    if (ERR_SYSTEM_ERROR(error))
        return 2;
    return ERR_GET_LIB(error) >= ERR_LIB_USER ? 3 : 1;
}

unsigned long cli_reason(char *buf, size_t size)
{
    const char *data = NULL;
    unsigned long error, reason = 0;
    int flags = 0, best = 0;

    buf[0] = '\0';
    while ((error = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        if (rank(error) > best) {
            best = rank(error);
            reason = error;
            format_error(buf, size, error,
                         (flags & ERR_TXT_STRING) != 0 ? data : "");
        }
    }
    cli_clean(buf);
    return reason;
}

void cli_raise_errno(const char *function)
{
    ERR_raise_data(ERR_LIB_SYS, errno, "calling %s()", function);
}

static void print_help(const struct cli_command *cmd)
{
    size_t i;

    (void)printf("usage: hsmsign %s\n\n%s\n\n", cmd->usage, cmd->about);
    for (i = 0; i < cmd->n_options; i++) {
        const struct cli_option *o = &cmd->options[i];
        const char *value = o->value == NULL ? "" : o->value;
        int pad = 17 - (int)strlen(o->name) - (int)strlen(value);

        (void)printf("  --%s %s%*s%s\n", o->name, value, pad, "", o->help);
    }
    (void)printf("  --help%14s%s\n", "", "print this text");
}

/* getopt_long says only that an option is wrong; say what is wrong. */
static int bad_option(const struct cli_command *cmd, int c, const char *arg)
{
    if (optopt >= OPTION_FIRST)
        return cli_usage(cmd->name, "--%s %s",
                         cmd->options[optopt - OPTION_FIRST].name,
                         c == ':' ? "needs a value" : "takes no value");
    if (optopt == OPTION_HELP)
        return cli_usage(cmd->name, "--help takes no value");
    if (optopt != 0)
        return cli_usage(cmd->name, "unknown option -%c", optopt);
    /* What comes after "=" may be a URI with a PIN. */
    return cli_usage(cmd->name, "unknown option %.*s", (int)strcspn(arg, "="),
                     arg);
}

static int take_option(const struct cli_command *cmd, int c,
                       struct cli_values *values)
{
    size_t i = (size_t)(c - OPTION_FIRST);
    const char *name = cmd->options[i].name;

    if (values->option[i] != NULL)
        return cli_usage(cmd->name, "--%s is given twice", name);
    if (optarg != NULL && optarg[0] == '\0')
        return cli_usage(cmd->name, "--%s has an empty value", name);
    values->option[i] = optarg == NULL ? "" : optarg;
    return CLI_OK;
}

static int check_complete(const struct cli_command *cmd, int argc, char **argv,
                          struct cli_values *values)
{
    size_t i;

    for (i = 0; i < cmd->n_options; i++) {
        if (cmd->options[i].required && values->option[i] == NULL)
            return cli_usage(cmd->name, "--%s is missing",
                             cmd->options[i].name);
    }
    if (cmd->operand != NULL) {
        if (optind < argc)
            values->operand = argv[optind++];
        else if (!cmd->operand_optional)
            return cli_usage(cmd->name, "the %s is missing", cmd->operand);
    }
    if (cmd->operands) {
        values->operands = argv + optind;
        values->n_operands = (size_t)(argc - optind);
        optind = argc;
    }
    if (optind < argc)
        return cli_usage(cmd->name, "unexpected argument %s", argv[optind]);
    return CLI_OK;
}

bool cli_parse(const struct cli_command *cmd, int argc, char **argv,
               struct cli_values *values, int *status)
{
    struct option longopts[CLI_OPTIONS_MAX + 2] = { 0 };
    int c;
    size_t i;

    *values = (struct cli_values){ 0 };
    *status = CLI_OK;
    for (i = 0; i < cmd->n_options; i++)
        longopts[i] =
            (struct option){ cmd->options[i].name,
                             cmd->options[i].value == NULL ? no_argument
                                                           : required_argument,
                             NULL, OPTION_FIRST + (int)i };
    longopts[i] = (struct option){ "help", no_argument, NULL, OPTION_HELP };
    opterr = 0;
    /* Options are read by the one thread there is.  NOLINTNEXTLINE */
    while ((c = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
        if (c == OPTION_HELP) {
            print_help(cmd);
            return false;
        }
        if (c == ':' || c == '?')
            *status = bad_option(cmd, c, argv[optind - 1]);
        else
            *status = take_option(cmd, c, values);
        if (*status != CLI_OK)
            return false;
    }
    *status = check_complete(cmd, argc, argv, values);
    return *status == CLI_OK;
}
