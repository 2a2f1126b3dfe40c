// SPDX-License-Identifier: Apache-2.0
/*
 * A CMS by PKI.js around a signature that was made elsewhere, as Document Engine
 * makes it.
 */
'use strict';
const { createHash } = require('node:crypto');
const asn1js = require('asn1js');
const pkijs = require('pkijs');

const OID = {
    data: '1.2.840.113549.1.7.1',
    signedData: '1.2.840.113549.1.7.2',
    contentType: '1.2.840.113549.1.9.3',
    messageDigest: '1.2.840.113549.1.9.4',
    signingTime: '1.2.840.113549.1.9.5',
    signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
    rsaKey: '1.2.840.113549.1.1.1',
};
const HASHES = {
    sha256: { oid: '2.16.840.1.101.3.4.2.1',
        ecdsa: '1.2.840.10045.4.3.2' },
    sha384: { oid: '2.16.840.1.101.3.4.2.2',
        ecdsa: '1.2.840.10045.4.3.3' },
    sha512: { oid: '2.16.840.1.101.3.4.2.3',
        ecdsa: '1.2.840.10045.4.3.4' },
};

const octets = (bytes) =>
    new asn1js.OctetString({ valueHex: new Uint8Array(bytes).buffer });
const sequence = (...value) => new asn1js.Sequence({ value });
const attribute = (type, value) =>
    new pkijs.Attribute({ type, values: [value] });
const digest = (bytes, hash) => createHash(hash).update(bytes).digest();
const algorithm = (oid, isRsa) => new pkijs.AlgorithmIdentifier({
    algorithmId: oid,
    ...(isRsa ? { algorithmParams: new asn1js.Null() } : {}),
});

function derOf(pem) {
    return Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64');
}

// { list, der: the DER SET OF that is signed }
function makeAttributes(bytes, hash, pem, isCades) {
    const list = [
        attribute(OID.contentType,
            new asn1js.ObjectIdentifier({ value: OID.data })),
        attribute(OID.messageDigest, octets(digest(bytes, hash))),
        isCades // ESSCertIDv2, whose hash is SHA-256 by default
            ? attribute(OID.signingCertificateV2,
                sequence(sequence(sequence(octets(digest(derOf(pem), 'sha256'))))))
            : attribute(OID.signingTime,
                new asn1js.UTCTime({ valueDate: new Date() })),
    ];
    const encoded = (a) => Buffer.from(a.toSchema().toBER(false));

    list.sort((a, b) => Buffer.compare(encoded(a), encoded(b))); // X.690, 11.6
    return {
        list,
        der: Buffer.from(new asn1js.Set({ value: list.map((a) => a.toSchema()) })
            .toBER(false)),
    };
}

function makeCms(attributes, hash, pems, signature) {
    const certificates = pems.map((pem) => pkijs.Certificate.fromBER(derOf(pem)))
        .sort((a, b) => Buffer.compare(Buffer.from(a.toSchema(true).toBER(false)),
            Buffer.from(b.toSchema(true).toBER(false))));
    const signer = pkijs.Certificate.fromBER(derOf(pems[0]));
    const isRsa = signer.subjectPublicKeyInfo.algorithm.algorithmId === OID.rsaKey;
    const content = new pkijs.SignedData({
        version: 1,
        encapContentInfo: new pkijs.EncapsulatedContentInfo(
            { eContentType: OID.data }),
        digestAlgorithms: [algorithm(HASHES[hash].oid)],
        certificates,
        signerInfos: [new pkijs.SignerInfo({
            version: 1,
            sid: new pkijs.IssuerAndSerialNumber(
                { issuer: signer.issuer, serialNumber: signer.serialNumber }),
            digestAlgorithm: algorithm(HASHES[hash].oid),
            signedAttrs: new pkijs.SignedAndUnsignedAttributes(
                { type: 0, attributes: attributes.list }),
            signatureAlgorithm: isRsa ? algorithm(OID.rsaKey, true)
                : algorithm(HASHES[hash].ecdsa),
            signature: octets(signature),
        })],
    });

    return Buffer.from(new pkijs.ContentInfo({
        contentType: OID.signedData,
        content: content.toSchema(true),
    }).toSchema().toBER(false));
}

module.exports = { makeAttributes, makeCms };
