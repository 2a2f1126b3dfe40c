/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor reads the log: the provider may have its own copy of pkcs11/,
 * so that nothing else tells how often it calls the token.  The log goes to a
 * file without a name, unless openssl.cnf or the environment says where to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hsmsign_doctor.h"

/* PKCS #11 calls that no network HSM's library answers by itself. */
static const char *const round_trips[] = {
    "C_Login",
    "C_FindObjectsInit",
    "C_GetAttributeValue",
    "C_Sign",
};

void doctor_log_open(struct doctor *d)
{
    const char *set = secure_getenv("HSMSIGN_LOG");
    char path[48], spec[64];

    d->log = -1;
    if (set != NULL && set[0] != '\0')
        return;
    d->log = memfd_create("hsmsign doctor", MFD_CLOEXEC);
    /* Not "self": a program that gives the PIN may read the variable too. */
    (void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)getpid(),
                   d->log);
    (void)snprintf(spec, sizeof(spec), "file:%s,debug", path);
    /* Without /proc there is no such path.  There is one thread.
     * NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (access(path, W_OK) != 0 || setenv("HSMSIGN_LOG", spec, 1) != 0)
        doctor_log_close(d);
}

void doctor_log_close(struct doctor *d)
{
    if (d->log >= 0)
        (void)close(d->log);
    d->log = -1;
}

size_t doctor_log_mark(const struct doctor *d)
{
    struct stat st;

    return d->log >= 0 && fstat(d->log, &st) == 0 ? (size_t)st.st_size : 0;
}

/* What was written since, to be freed; NULL: nothing. */
static char *read_log(const struct doctor *d, size_t mark)
{
    size_t size = doctor_log_mark(d) - mark;
    char *text = size > 0 ? OPENSSL_zalloc(size + 1) : NULL;

    if (text != NULL && pread(d->log, text, size, (off_t)mark) < 0)
        text[0] = '\0';
    return text;
}

/* The text of the line at *at behind "debug: " or such, and the next line. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n'), *text;
    char who[32];

    if (end == NULL)
        return NULL;
    *end = '\0';
    *at = end + 1;
    (void)snprintf(who, sizeof(who), " hsmsign[%ld/", (long)getpid());
    text = strstr(line, who);
    text = text != NULL ? strstr(text, ": ") : NULL;
    return text != NULL ? text + 2 : end;
}

bool doctor_log_calls(const struct doctor *d, size_t mark, unsigned *calls,
                      unsigned *trips)
{
    char *text = read_log(d, mark), *at = text, *line;

    *calls = *trips = 0;
    while (text != NULL && (line = next_line(&at)) != NULL) {
        size_t len = strcspn(line, " ");

        if (strncmp(line, "C_", 2) != 0)
            continue;
        ++*calls;
        for (size_t i = 0; i < sizeof(round_trips) / sizeof(round_trips[0]);
             i++)
            *trips += strlen(round_trips[i]) == len &&
                      strncmp(round_trips[i], line, len) == 0;
    }
    OPENSSL_free(text);
    return *calls > 0;
}

void doctor_log_tells(const struct doctor *d, size_t mark, const char *words,
                      char *buf, size_t size)
{
    char *text = read_log(d, mark), *at = text, *line;

    buf[0] = '\0';
    while (text != NULL && (line = next_line(&at)) != NULL) {
        const char *found = strstr(line, words);

        if (found != NULL)
            (void)snprintf(buf, size, "%s", found + strlen(words));
    }
    OPENSSL_free(text);
}
