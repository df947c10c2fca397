"""An S3 server that checks signatures, with a bucket "lake" and a file in it.

Printed: "s3 http://127.0.0.1:PORT", then "key ID SECRET" of a user that may do all.
"""

import json
import logging
import os
import threading

# So many requests are answered unsigned: those that make the user.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"


def client(service, key="none", secret="none"):
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret)


iam = client("iam")
iam.create_user(UserName="ada")
key = iam.create_access_key(UserName="ada")["AccessKey"]
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
iam.put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=json.dumps(policy))
s3 = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
s3.create_bucket(Bucket="lake")
s3.put_object(Bucket="lake", Key="days/one.csv", Body=b"id,name\n1,ada\n2,grace\n")
print(f"s3 {url}", flush=True)
print(f"key {key['AccessKeyId']} {key['SecretAccessKey']}", flush=True)
threading.Event().wait()
