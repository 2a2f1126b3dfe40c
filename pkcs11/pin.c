/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN is read straight into the pages where it stays: no stdio, whose
 * buffers are heap memory that is freed as it is, and no copy on the stack.
 * So there is one place to cleanse.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "command.h"
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
    struct p11_pin *copy = len <= P11_PIN_MAX ? pin_alloc() : NULL;

    if (copy == NULL)
        return NULL;
    memcpy(copy->bytes, pin, len);
    copy->len = len;
    return copy;
}

struct p11_pin *p11_pin_copy(const struct p11_pin *pin)
{
    return p11_pin_new(pin->bytes, pin->len);
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

static const struct {
    const char *prefix, *what;
} kinds[] = {
    [P11_PIN_FILE] = { "file:", "file" },
    [P11_PIN_ENV] = { "env:", "environment variable" },
    [P11_PIN_COMMAND] = { "command:", "command" },
};

CK_RV p11_pin_source_set(enum p11_pin_kind kind, const char *value,
                         const char *origin, struct p11_pin_source *source,
                         struct p11_error *err)
{
    if (kind == P11_PIN_LITERAL) {
        if (strlen(value) > P11_PIN_MAX)
            return p11_error_set(err, P11_CONFIG,
                                 "%s: the PIN is longer than %d bytes", origin,
                                 P11_PIN_MAX);
        source->literal = p11_pin_new(value, strlen(value));
    } else {
        if (value[0] == '\0')
            return p11_error_set(err, P11_CONFIG, "%s names no %s", origin,
                                 kinds[kind].what);
        source->name = strdup(value);
    }
    if (source->literal == NULL && source->name == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s: out of memory", origin);
    source->kind = kind;
    source->origin = origin;
    return CKR_OK;
}

CK_RV p11_pin_source_parse(const char *value, const char *origin,
                           struct p11_pin_source *source, struct p11_error *err)
{
    for (unsigned kind = P11_PIN_FILE; kind <= P11_PIN_COMMAND; kind++) {
        size_t len = strlen(kinds[kind].prefix);

        if (strncmp(value, kinds[kind].prefix, len) == 0)
            return p11_pin_source_set((enum p11_pin_kind)kind, value + len,
                                      origin, source, err);
    }
    return p11_pin_source_set(P11_PIN_LITERAL, value, origin, source, err);
}

CK_RV p11_pin_source_uri(const char *value, struct p11_pin_source *source,
                         struct p11_error *err)
{
    const char *path = value;

    /* RFC 8089: the scheme's and the host's case do not matter. */
    if (strncasecmp(value, "file://localhost/", 17) == 0)
        path += 16;
    else if (strncasecmp(value, "file:///", 8) == 0)
        path += 7;
    else if (strncasecmp(value, "file:", 5) == 0 &&
             strncmp(value + 5, "//", 2) != 0)
        path += 5;
    else if (value[0] != '/')
        path = "";
    /* The value is not shown: it might be a PIN that was meant for pin-value */
    if (path[0] == '\0')
        return p11_error_set(err, P11_PIN_SOURCE,
                             "pin-source is neither \"file:PATH\" on this "
                             "machine nor an absolute path; commands are not "
                             "run, and the PIN itself goes into pin-value");
    return p11_pin_source_set(P11_PIN_FILE, path, "pin-source", source, err);
}

void p11_pin_source_clear(struct p11_pin_source *source)
{
    p11_pin_free(source->literal);
    free(source->name);
    memset(source, 0, sizeof(*source));
}

long p11_pin_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* As read(); ETIMEDOUT when nothing comes. */
static ssize_t read_until(long deadline, int fd, void *buf, size_t size)
{
    ssize_t n;

    do {
        struct pollfd pfd = { fd, POLLIN, 0 };
        long left = deadline - p11_pin_now();

        n = poll(&pfd, 1, left > 0 ? (int)left : 0);
        if (n == 0)
            errno = ETIMEDOUT;
        if (n > 0)
            n = read(fd, buf, size);
        else
            n = -1;
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    return n;
}

/*
 * Read the first line, without its end, into pin.  A byte at a time: nothing
 * behind the line ever gets into memory, and it is done once a login.
 */
static bool read_line(long deadline, int fd, struct p11_pin *pin)
{
    while (pin->len < sizeof(pin->bytes)) {
        ssize_t n = read_until(deadline, fd, pin->bytes + pin->len, 1);

        if (n <= 0)
            return n == 0;
        if (pin->bytes[pin->len] == '\n') {
            if (pin->len > 0 && pin->bytes[pin->len - 1] == '\r')
                pin->len--;
            return true;
        }
        pin->len++;
    }
    return true;
}

static CK_RV read_file(const struct p11_pin_source *source, struct p11_pin *pin,
                       struct p11_error *err)
{
    /* Not blocking: a FIFO's writer may never come. */
    int fd = open(source->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    CK_RV rv = CKR_OK;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 077) != 0 &&
        !S_ISDIR(st.st_mode))
        p11_log(P11_LOG_WARNING,
                "%s: others may use the PIN file %s (mode %04o); chmod 600 it",
                source->origin, source->name, (unsigned)st.st_mode & 07777);
    if (fd < 0 ||
        !read_line(p11_pin_now() + P11_PIN_WAIT, fd, pin)) /* or EISDIR */
        rv = p11_error_set(err, P11_PIN_SOURCE, "%s: cannot read %s: %m",
                           source->origin, source->name);
    if (fd >= 0)
        (void)close(fd);
    return rv;
}

/* What follows the first line is read too, so that SIGPIPE kills nobody. */
static void drain(long deadline, int fd)
{
    char rest[256];

    while (read_until(deadline, fd, rest, sizeof(rest)) > 0)
        ;
    explicit_bzero(rest, sizeof(rest));
}

/* The command's arguments are not shown. */
static CK_RV read_command(const struct p11_pin_source *source,
                          struct p11_pin *pin, struct p11_error *err)
{
    long deadline = p11_pin_now() + P11_PIN_WAIT, left;
    int shown = (int)strcspn(source->name, " \t"), status;
    struct p11_command command;

    if (!p11_command_start(&command, source->name))
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: cannot run %.*s: %m (command: takes an "
                             "absolute path and arguments)",
                             source->origin, shown, source->name);
    if (read_line(deadline, command.fd, pin))
        drain(deadline, command.fd);
    left = deadline - p11_pin_now();
    status = p11_command_end(&command, left > 0 ? left : 0);
    if (status == P11_COMMAND_LATE)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: %.*s was killed: it did not end within %d "
                             "seconds",
                             source->origin, shown, source->name,
                             P11_PIN_WAIT / 1000);
    if (status != 0 && status != P11_COMMAND_UNKNOWN)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: %.*s ended with status %d", source->origin,
                             shown, source->name, status);
    return CKR_OK;
}

/* Not in a program with more rights than its caller's. */
static CK_RV read_variable(const struct p11_pin_source *source,
                           struct p11_pin *pin, struct p11_error *err)
{
    const char *value = secure_getenv(source->name);

    if (value == NULL)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the environment variable %s is not set",
                             source->origin, source->name);
    pin->len = strnlen(value, sizeof(pin->bytes));
    memcpy(pin->bytes, value, pin->len);
    return CKR_OK;
}

/* "pin-value=$PIN" with PIN unset must not cost one of the token's tries. */
static CK_RV check_length(const struct p11_pin_source *source,
                          const struct p11_pin *pin, struct p11_error *err)
{
    const char *name = source->kind != P11_PIN_LITERAL ? source->name : "";
    bool command = source->kind == P11_PIN_COMMAND;
    int shown = (int)(command ? strcspn(name, " \t") : strlen(name));
    const char *in = command ? " from " : *name != '\0' ? " in " : "";

    if (pin->len == 0)
        return p11_error_set(err, P11_PIN_SOURCE, "%s: the PIN%s%.*s is empty",
                             source->origin, in, shown, name);
    if (pin->len > P11_PIN_MAX)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the PIN%s%.*s is longer than %d bytes",
                             source->origin, in, shown, name, P11_PIN_MAX);
    return CKR_OK;
}

/* One that is too long has a length above P11_PIN_MAX when it was read. */
static CK_RV read_source(const struct p11_pin_source *source,
                         struct p11_pin *pin, struct p11_error *err)
{
    CK_RV rv = CKR_OK;

    switch (source->kind) {
    case P11_PIN_FILE:
        rv = read_file(source, pin, err);
        break;
    case P11_PIN_ENV:
        rv = read_variable(source, pin, err);
        break;
    case P11_PIN_COMMAND:
        rv = read_command(source, pin, err);
        break;
    default:
        memcpy(pin, source->literal, sizeof(*pin));
    }
    return rv == CKR_OK ? check_length(source, pin, err) : rv;
}

static CK_RV ask(const struct p11_pin_request *request, const char *label,
                 struct p11_pin *pin, struct p11_error *err)
{
    /* Return pressed at the prompt is no answer: not worth a token's try. */
    if (request->prompt != NULL &&
        request->prompt(request->prompt_arg, label, (char *)pin->bytes,
                        P11_PIN_MAX, &pin->len) &&
        pin->len > 0 && pin->len <= P11_PIN_MAX)
        return CKR_OK;
    return p11_error_set(err, P11_NO_PIN, "token \"%s\": %s", label,
                         p11_rv_info(P11_NO_PIN)->fix);
}

const struct p11_pin_source *
p11_pin_request_source(const struct p11_pin_request *request)
{
    if (request->uri != NULL && request->uri->kind != P11_PIN_NONE)
        return request->uri;
    if (request->config != NULL && request->config->kind != P11_PIN_NONE)
        return request->config;
    return NULL;
}

CK_RV p11_pin_get(const struct p11_pin_request *request, const char *label,
                  struct p11_pin **pin, struct p11_error *err)
{
    const struct p11_pin_source *source = p11_pin_request_source(request);
    struct p11_pin *new = pin_alloc();
    CK_RV rv;

    if (new == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a PIN");
    if (source == NULL)
        rv = ask(request, label, new, err);
    else
        rv = read_source(source, new, err);
    if (rv == CKR_OK)
        *pin = new;
    else
        p11_pin_free(new);
    return rv;
}
