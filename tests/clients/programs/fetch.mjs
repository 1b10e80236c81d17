// A call by fetch(), as the libraries make it that bring no AWS SDK: a bearer key, and Node.js as it is.
const url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse";
const response = await fetch(url, {
  method: "POST",
  headers: { authorization: `Bearer ${process.env.AWS_BEARER_TOKEN_BEDROCK}`, "content-type": "application/json" },
  body: JSON.stringify({ messages: [{ role: "user", content: [{ text: "What does a toll gate do?" }] }] }),
});
console.log(JSON.stringify((await response.json()).usage));
