/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN is read straight into the pages where it stays: no stdio, whose
 * buffers are heap memory that is freed as it is, and no copy on the stack.
 * So there is one place to cleanse.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"
#include "pin.h"

struct p11_pin {
    size_t len;
    /* Room for the line end that a file has and a PIN has not. */
    unsigned char bytes[P11_PIN_MAX + sizeof("\r\n") - 1];
};

/*
 * Pages of its own, since locks and dump flags are a page's.  All of that is
 * best effort: a PIN in a page that might be swapped is better than none.
 * The child of a fork needs the PIN for its own login, so that neither
 * MADV_DONTFORK nor MADV_WIPEONFORK is right.
 */
static struct p11_pin *pin_alloc(void)
{
    struct p11_pin *pin = mmap(NULL, sizeof(*pin), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pin == MAP_FAILED)
        return NULL;
    (void)madvise(pin, sizeof(*pin), MADV_DONTDUMP);
    if (mlock(pin, sizeof(*pin)) != 0)
        p11_log(P11_LOG_INFO, "a PIN cannot be locked in memory: %m");
    return pin;
}

struct p11_pin *p11_pin_new(const void *pin, size_t len)
{
    struct p11_pin *copy;

    if (len > P11_PIN_MAX)
        return NULL;
    copy = pin_alloc();
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy->bytes, pin, len);
    copy->len = len;
    return copy;
}

void p11_pin_free(struct p11_pin *pin)
{
    if (pin == NULL)
        return;
    explicit_bzero(pin, sizeof(*pin));
    (void)munmap(pin, sizeof(*pin)); /* unlocks too */
}

const unsigned char *p11_pin_bytes(const struct p11_pin *pin, size_t *len)
{
    /* The child of a fork inherits the pages, but not their lock. */
    (void)mlock(pin, sizeof(*pin));
    *len = pin->len;
    return pin->bytes;
}

bool p11_pin_equal(const struct p11_pin *a, const struct p11_pin *b)
{
    volatile unsigned char differ = 0;

    if (a == NULL || b == NULL)
        return a == b;
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        differ = (unsigned char)(differ | (a->bytes[i] ^ b->bytes[i]));
    return differ == 0;
}

/* A source that names a file or a variable. */
static CK_RV source_name(enum p11_pin_kind kind, const char *name,
                         const char *origin, struct p11_pin_source *source,
                         struct p11_error *err)
{
    if (name[0] == '\0')
        return p11_error_set(err, P11_CONFIG, "%s names no %s", origin,
                             kind == P11_PIN_FILE ? "file"
                                                  : "environment variable");
    source->name = strdup(name);
    if (source->name == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s: out of memory", origin);
    source->kind = kind;
    source->origin = origin;
    return CKR_OK;
}

CK_RV p11_pin_source_literal(const char *value, const char *origin,
                             struct p11_pin_source *source,
                             struct p11_error *err)
{
    size_t len = strlen(value);

    if (len > P11_PIN_MAX)
        return p11_error_set(err, P11_CONFIG,
                             "%s: the PIN is longer than %d bytes", origin,
                             P11_PIN_MAX);
    source->literal = p11_pin_new(value, len);
    if (source->literal == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s: out of memory", origin);
    source->kind = P11_PIN_LITERAL;
    source->origin = origin;
    return CKR_OK;
}

CK_RV p11_pin_source_file(const char *path, const char *origin,
                          struct p11_pin_source *source, struct p11_error *err)
{
    return source_name(P11_PIN_FILE, path, origin, source, err);
}

CK_RV p11_pin_source_parse(const char *value, const char *origin,
                           struct p11_pin_source *source, struct p11_error *err)
{
    if (strncmp(value, "file:", 5) == 0)
        return source_name(P11_PIN_FILE, value + 5, origin, source, err);
    if (strncmp(value, "env:", 4) == 0)
        return source_name(P11_PIN_ENV, value + 4, origin, source, err);
    return p11_pin_source_literal(value, origin, source, err);
}

CK_RV p11_pin_source_uri(const char *value, struct p11_pin_source *source,
                         struct p11_error *err)
{
    static const char localhost[] = "//localhost/";
    const char *path = value;

    /* RFC 8089: the scheme's and the host's case do not matter. */
    if (strncasecmp(value, "file:", 5) == 0) {
        path = value + 5;
        if (strncasecmp(path, localhost, sizeof(localhost) - 1) == 0)
            path += sizeof(localhost) - 2;
        else if (strncmp(path, "///", 3) == 0)
            path += 2;
        else if (strncmp(path, "//", 2) == 0)
            path = "";
    } else if (value[0] != '/') {
        path = "";
    }
    /* The value is not shown: it might be a PIN that was meant for pin-value */
    if (path[0] == '\0')
        return p11_error_set(err, P11_PIN_SOURCE,
                             "pin-source is neither \"file:PATH\" on this "
                             "machine nor an absolute path; commands are not "
                             "run, and the PIN itself goes into pin-value");
    return source_name(P11_PIN_FILE, path, "pin-source", source, err);
}

void p11_pin_source_clear(struct p11_pin_source *source)
{
    p11_pin_free(source->literal);
    free(source->name);
    memset(source, 0, sizeof(*source));
}

/* Read until the line end, the end of the file, or a full buffer. */
static ssize_t read_line(int fd, unsigned char *buf, size_t size)
{
    size_t have = 0;
    ssize_t n;

    do {
        n = read(fd, buf + have, size - have);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            have += (size_t)n;
    } while (n != 0 && have < size && memchr(buf, '\n', have) == NULL);
    return (ssize_t)have;
}

/* Set pin->len to the length of the first line, which ends at a "\n". */
static void cut_line(struct p11_pin *pin, size_t have)
{
    const unsigned char *end = memchr(pin->bytes, '\n', have);

    if (end == NULL) {
        pin->len = have;
        return;
    }
    pin->len = (size_t)(end - pin->bytes);
    if (pin->len > 0 && pin->bytes[pin->len - 1] == '\r')
        pin->len--;
    /* What follows is not the PIN, but need not stay either. */
    explicit_bzero(pin->bytes + pin->len, sizeof(pin->bytes) - pin->len);
}

static int open_file(const char *path)
{
    int fd;

    /* Opening a FIFO waits for its writer, and a signal may end that. */
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Fill pin->bytes from the file; returns their number, or -1 and errno. */
static ssize_t read_bytes(const struct p11_pin_source *source,
                          struct p11_pin *pin)
{
    int fd = open_file(source->name), saved;
    ssize_t have = -1;
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0)
        goto out;
    if ((st.st_mode & 077) != 0 && !S_ISDIR(st.st_mode))
        p11_log(P11_LOG_WARNING,
                "%s: others may use the PIN file %s (mode %04o); chmod 600 it",
                source->origin, source->name, (unsigned)st.st_mode & 07777);
    have = read_line(fd, pin->bytes, sizeof(pin->bytes)); /* or EISDIR */
out:
    saved = errno;
    (void)close(fd);
    errno = saved;
    return have;
}

static CK_RV read_file(const struct p11_pin_source *source, struct p11_pin *pin,
                       struct p11_error *err)
{
    ssize_t have = read_bytes(source, pin);

    if (have < 0)
        return p11_error_set(err, P11_PIN_SOURCE, "%s: cannot read %s: %m",
                             source->origin, source->name);
    cut_line(pin, (size_t)have);
    if (pin->len == 0)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the first line of %s is empty",
                             source->origin, source->name);
    if (pin->len > P11_PIN_MAX)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the first line of %s is longer than %d bytes",
                             source->origin, source->name, P11_PIN_MAX);
    return CKR_OK;
}

static CK_RV read_env(const struct p11_pin_source *source, struct p11_pin *pin,
                      struct p11_error *err)
{
    /* Not in a program with more rights than its caller (secure_getenv(3)). */
    const char *value = secure_getenv(source->name);
    size_t len = value != NULL ? strlen(value) : 0;

    if (len == 0)
        return p11_error_set(
            err, P11_PIN_SOURCE, "%s: the environment variable %s is %s",
            source->origin, source->name, value != NULL ? "empty" : "not set");
    if (len > P11_PIN_MAX)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the environment variable %s is longer than "
                             "%d bytes",
                             source->origin, source->name, P11_PIN_MAX);
    memcpy(pin->bytes, value, len);
    pin->len = len;
    return CKR_OK;
}

static CK_RV read_literal(const struct p11_pin_source *source,
                          struct p11_pin *pin, struct p11_error *err)
{
    /* "pin-value=$PIN" with PIN unset must not cost one of the token's tries */
    if (source->literal->len == 0)
        return p11_error_set(err, P11_PIN_SOURCE, "%s: the PIN is empty",
                             source->origin);
    memcpy(pin, source->literal, sizeof(*pin));
    return CKR_OK;
}

CK_RV p11_pin_source_read(const struct p11_pin_source *source,
                          struct p11_pin **pin, struct p11_error *err)
{
    struct p11_pin *new = pin_alloc();
    CK_RV rv = P11_NO_PIN;

    if (new == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a PIN");
    switch (source->kind) {
    case P11_PIN_LITERAL:
        rv = read_literal(source, new, err);
        break;
    case P11_PIN_FILE:
        rv = read_file(source, new, err);
        break;
    case P11_PIN_ENV:
        rv = read_env(source, new, err);
        break;
    case P11_PIN_NONE:
        rv = p11_error_set(err, P11_NO_PIN, "%s", p11_rv_info(P11_NO_PIN)->fix);
        break;
    }
    if (rv != CKR_OK) {
        p11_pin_free(new);
        return rv;
    }
    *pin = new;
    return CKR_OK;
}

static CK_RV no_pin(const char *label, struct p11_error *err)
{
    return p11_error_set(err, P11_NO_PIN, "token \"%s\": %s", label,
                         p11_rv_info(P11_NO_PIN)->fix);
}

CK_RV p11_pin_ask(p11_pin_prompt *prompt, void *arg, const char *label,
                  struct p11_pin **pin, struct p11_error *err)
{
    struct p11_pin *new;
    size_t len = 0;

    if (prompt == NULL)
        return no_pin(label, err);
    new = pin_alloc();
    if (new == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a PIN");
    /* Return pressed at the prompt is no answer: not worth a token's try. */
    if (!prompt(arg, label, (char *)new->bytes, P11_PIN_MAX, &len) ||
        len == 0 || len > P11_PIN_MAX) {
        p11_pin_free(new);
        return no_pin(label, err);
    }
    new->len = len;
    *pin = new;
    return CKR_OK;
}

static bool gives_pin(const struct p11_pin_source *source)
{
    return source != NULL && source->kind != P11_PIN_NONE;
}

CK_RV p11_pin_get(const struct p11_pin_request *request, const char *label,
                  struct p11_pin **pin, struct p11_error *err)
{
    /* A source that fails is an error: another PIN was not asked for. */
    if (gives_pin(request->uri))
        return p11_pin_source_read(request->uri, pin, err);
    if (gives_pin(request->config))
        return p11_pin_source_read(request->config, pin, err);
    return p11_pin_ask(request->prompt, request->prompt_arg, label, pin, err);
}
