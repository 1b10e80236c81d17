// Converse with each of the two HTTP clients that Java brings, and a bearer key.
import java.net.HttpURLConnection;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Call {
    static final URI MODEL =
        URI.create("https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse");
    static final String KEY = "Bearer " + System.getenv("AWS_BEARER_TOKEN_BEDROCK");
    static final String BODY = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hello\"}]}]}";

    public static void main(String[] arguments) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) MODEL.toURL().openConnection();
        connection.setDoOutput(true);
        connection.setRequestProperty("authorization", KEY);
        connection.setRequestProperty("content-type", "application/json");
        connection.getOutputStream().write(BODY.getBytes());
        System.out.println(new String(connection.getInputStream().readAllBytes()));

        HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
        HttpRequest request = HttpRequest.newBuilder(MODEL)
            .header("authorization", KEY)
            .header("content-type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(BODY))
            .build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
