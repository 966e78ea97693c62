package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

func TestOverTLSOnlyAServerWithTheRightCertificateIsTrusted(t *testing.T) {
	t.Parallel()
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { labtest.Do(t, port.Close) })
	roots, cert, key := certificate(t)
	at := labtest.Redis(t, "--tls-port", port.String(), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")

	s := open(t, at, redis.Config{Place: port.Addr(), TLS: true, Roots: roots})
	publish(t, s, 1, round("p", 1, popeye.First))
	castAll(t, s, 100, 10)
	consumer := s.Consumer("c")
	ack(t, consumer, receiveAll(t, consumer, 100)...)

	others, _, _ := certificate(t)
	for name, c := range map[string]redis.Config{
		"vouched for by somebody else": {Place: port.Addr(), TLS: true, Roots: others},
		"vouched for by nobody":        {Place: port.Addr(), TLS: true},
		"asked without TLS":            {Place: port.Addr()},
		"that speaks no TLS":           {Place: at.Addr(), TLS: true, Roots: roots},
	} {
		c.Timeout = time.Second
		_, err := open(t, at, c).Put(limited(t), cast(1, 1, 100), patience)
		if wantError(t, err, popeye.ErrUnavailable); err == nil {
			t.Errorf("a server %s is trusted", name)
		}
	}
}

// certificate makes one that vouches for itself, in files and as roots.
func certificate(t *testing.T) (roots *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, text := range map[string][]byte{certFile: text, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return roots, certFile, keyFile
}
