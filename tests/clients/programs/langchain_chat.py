"""One whole answer and one stream with the class of langchain-aws that the argument names; prints the usage of each as
JSON."""

import functools
import json
import operator
import os
import sys

import langchain_aws

model = getattr(langchain_aws, sys.argv[1])(model=os.environ["MODEL"], region_name=os.environ["AWS_REGION"])
print(json.dumps(model.invoke(os.environ["QUESTION"]).usage_metadata))
print(json.dumps(functools.reduce(operator.add, model.stream(os.environ["QUESTION"])).usage_metadata))
