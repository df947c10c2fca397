"""The ADBC driver over TLS, signed in: flight_tls.py HOST:PORT TOKEN CERTIFICATE."""

import sys

import adbc_driver_flightsql.dbapi as dbapi

address, token, certificate = sys.argv[1:]
uri = "grpc+tls://" + address.replace("127.0.0.1", "localhost")
with open(certificate) as file:
    roots = {"adbc.flight.sql.client_option.tls_root_certs": file.read()}


def ask(options):
    with dbapi.connect(uri, autocommit=True, db_kwargs={**roots, **options}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone()


# A token, by itself and in the place of a password.
assert ask({"adbc.flight.sql.authorization_header": f"Bearer {token}"}) == (1,)
assert ask({"username": "weir", "password": token}) == (1,)
for wrong in [
    {},
    {"username": "weir", "password": "wrong"},
    {"adbc.flight.sql.authorization_header": "Bearer wrong"},
]:
    try:
        ask(wrong)
    except dbapi.Error as error:
        assert "nauthenticated" in str(error) or "28" in str(error), error
    else:
        raise AssertionError(f"let in with {wrong}")
print("ok")
