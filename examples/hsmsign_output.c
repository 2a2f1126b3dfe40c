/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that hsmsign writes.
 *
 * A signature is made in memory, a few kilobytes, and written to a file that is
 * not there under its name before all of it is: whoever waits for that name
 * never reads half a signature, and a failure leaves the old file as it was.
 *
 * Nor does a signal leave a temporary file.  Where one thread writes, its
 * handler removes the file.  Where many do (output_watch), the handler only
 * tells the thread that waits, which stops the others between two steps of
 * theirs: what a thread has just made is then known, and removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hsmsign_tool.h"

/*
 * What to remove when a signal ends the program.  A name is in here before
 * its memory is freed and after its file is made.
 */
static _Atomic(const char *) doomed[OUTPUTS_MAX];

/* Held for reading while a file appears or goes, and doomed with it. */
static pthread_rwlock_t steps = PTHREAD_RWLOCK_INITIALIZER;

static _Atomic(sem_t *) watcher;
static volatile sig_atomic_t caught;

static void remove_doomed(void)
{
    size_t i;

    for (i = 0; i < OUTPUTS_MAX; i++) {
        const char *path = atomic_load(&doomed[i]);

        if (path != NULL)
            (void)unlink(path);
    }
}

static void on_signal(int sig)
{
    sem_t *sem = atomic_load(&watcher);
    int saved = errno;

    if (sem != NULL) {
        caught = sig;
        (void)sem_post(sem);
        errno = saved;
        return;
    }
    remove_doomed();
    /* SA_RESETHAND: this time it ends the program, with the right status. */
    (void)raise(sig);
}

static void handle_signals(void)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM };
    struct sigaction action = { 0 }, old;
    size_t i;

    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
    (void)sigemptyset(&action.sa_mask);
    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        /* nohup's SIG_IGN stays. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(signals[i], &action, NULL);
    }
}

static void doom(const char *path)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *none = NULL;
    size_t i = 0;

    (void)pthread_once(&once, handle_signals);
    while (i < OUTPUTS_MAX &&
           !atomic_compare_exchange_strong(&doomed[i], &none, path)) {
        none = NULL;
        i++;
    }
}

static void spare(const char *path)
{
    size_t i;

    for (i = 0; i < OUTPUTS_MAX; i++) {
        if (atomic_load(&doomed[i]) == path)
            atomic_store(&doomed[i], NULL);
    }
}

void output_watch(sem_t *sem)
{
    atomic_store(&watcher, sem);
    handle_signals();
}

int output_caught(void)
{
    return (int)caught;
}

void output_die(int sig)
{
    (void)pthread_rwlock_wrlock(&steps);
    remove_doomed();
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
    _exit(128 + sig);
}

/*
 * A new file in target's directory.  Its name is short, target's may not be;
 * and random, since the processes of several machines may write there.
 */
static int open_temp(struct output *out)
{
    const char *slash = strrchr(out->target, '/');
    int dirlen = slash == NULL ? 0 : (int)(slash - out->target) + 1;
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number) ||
        asprintf(&out->temp, "%.*s.hsmsign-%016llx", dirlen, out->target,
                 (unsigned long long)number) < 0) {
        out->temp = NULL;
        cli_raise_errno("asprintf");
        return 0;
    }
    (void)pthread_rwlock_rdlock(&steps);
    out->fd = open(out->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                   S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    if (out->fd >= 0)
        doom(out->temp);
    else
        cli_raise_errno("open");
    (void)pthread_rwlock_unlock(&steps);
    if (out->fd >= 0)
        return 1;
    free(out->temp);
    out->temp = NULL;
    return 0;
}

int output_open(struct output *out, const char *path)
{
    struct stat st;

    *out = (struct output){ .fd = -1 };
    if (strcmp(path, "-") == 0) {
        out->fd = STDOUT_FILENO;
        return 1;
    }
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            out->target = strdup(path);
    } else if (!S_ISREG(st.st_mode)) {
        /* A pipe, a terminal, /dev/null: nothing to put in its place. */
        out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else if (access(path, W_OK) == 0) {
        /* A symbolic link stays one: the file it leads to is replaced. */
        out->target = realpath(path, NULL);
    }
    if (out->target == NULL && out->fd < 0) {
        cli_raise_errno("open");
        return 0;
    }
    return out->target == NULL || open_temp(out);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cli_raise_errno("write");
            return 0;
        }
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

static int output_close(struct output *out)
{
    int fd = out->fd;

    /* Standard output is closed, and that checked, when the program ends. */
    out->fd = -1;
    if (fd != STDOUT_FILENO && fd >= 0 && close(fd) != 0) {
        cli_raise_errno("close");
        return 0;
    }
    return 1;
}

/* Take the temporary file's name away: by renaming, or removing it. */
static int temp_done(struct output *out, bool keep)
{
    int ok = 1;

    (void)pthread_rwlock_rdlock(&steps);
    if (keep && rename(out->temp, out->target) != 0) {
        cli_raise_errno("rename");
        ok = 0;
    }
    if (!keep || !ok)
        (void)unlink(out->temp);
    spare(out->temp);
    (void)pthread_rwlock_unlock(&steps);
    free(out->temp);
    out->temp = NULL;
    return ok;
}

int output_commit(struct output *out, BIO *mem, bool on_disk)
{
    char *data = NULL;
    long len = BIO_get_mem_data(mem, &data);
    int ok = write_all(out->fd, data, (size_t)len);

    if (ok && on_disk && out->temp != NULL && fsync(out->fd) != 0) {
        cli_raise_errno("fsync");
        ok = 0;
    }
    ok = output_close(out) && ok;
    ok = ok && (out->temp == NULL || temp_done(out, true));
    output_discard(out);
    return ok;
}

int output_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ok = fd >= 0 && syncfs(fd) == 0;

    if (!ok)
        cli_raise_errno("syncfs");
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

void output_discard(struct output *out)
{
    if (out->fd >= 0 && out->fd != STDOUT_FILENO)
        (void)close(out->fd);
    if (out->temp != NULL)
        (void)temp_done(out, false);
    free(out->target);
    *out = (struct output){ .fd = -1 };
}

const char *output_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard output" : path;
}
