// SPDX-License-Identifier: Apache-2.0
/*
 * The ways in which Document Engine, its predecessor and the web how-to ask for
 * a signature: what is posted, and what becomes of the answer.
 */
'use strict';
const { createHash } = require('node:crypto');
const { makeAttributes, makeCms } = require('./cms');

const digestHex = (bytes, hash) =>
    createHash(hash).update(bytes).digest('hex').toUpperCase(); // as the SDK

// Document Engine's own container: attributes first, the CMS afterwards.
const raw = (type) => async (post, bytes, hash) => {
    const { certificates, ca_certificates: chain } = JSON.parse(
        await post({ action: 'get_certificates' }));
    const certs = [...certificates, ...chain].map(
        (pem) => Buffer.from(pem, 'base64').toString());
    const attributes = makeAttributes(bytes, hash, certs[0], type === 'cades');
    const signature = await post({
        action: 'sign',
        data_to_be_signed: attributes.der.toString('base64'),
        hash_algorithm: hash,
        signature_type: type,
        signing_token: 'somebody',
    });

    return makeCms(attributes, hash, certs, signature);
};

const pkcs7 = (type, withContents) => (post, bytes, hash) =>
    post({
        action: 'sign_pkcs7',
        digest: digestHex(bytes, hash),
        hash_algorithm: hash,
        encoded_contents: withContents ? bytes.toString('base64') : undefined,
        signature_type: type,
        signing_token: '{"userId":"somebody","signMethod":"hsm"}',
    });

// These callers know of SHA-256 alone, which is the default.
const others = (hash) => (hash === 'sha256' ? {} : { hash_algorithm: hash });

const older = (post, bytes, hash) =>
    post({
        encoded_contents: bytes.toString('base64'),
        digest: digestHex(bytes, hash),
        signing_token: 'somebody',
        ...others(hash),
    });

const web = async (post, bytes, hash) =>
    Buffer.from(JSON.parse(await post({
        encodedContents: bytes.toString('base64'),
        hash: digestHex(bytes, hash),
        ...others(hash),
    })).p7, 'base64');

module.exports = [
    { name: 'pkcs7-cms', ask: pkcs7('cms', true) },
    { name: 'pkcs7-cades', cades: true, ask: pkcs7('cades', true) },
    { name: 'digest-cms', ask: pkcs7('cms', false) },
    { name: 'digest-cades', cades: true, ask: pkcs7('cades', false) },
    { name: 'raw-cms', ask: raw('cms') },
    { name: 'raw-cades', cades: true, ask: raw('cades') },
    { name: 'older', ask: older },
    { name: 'web', ask: web },
];
